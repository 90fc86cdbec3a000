"""Pure steps from rows to rows: no session, no path, no clock."""
