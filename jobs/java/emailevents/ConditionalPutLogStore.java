package emailevents;

import io.delta.storage.HadoopFileSystemLogStore;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.util.Arrays;
import java.util.Iterator;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;

/**
 * Delta's log on S3 for any number of writers: of two that write the same version, S3 itself lets one win.
 *
 * <p>Delta's own store looks whether the version is there, then puts it: a second writer in between is overwritten
 * without a word. Here the put carries If-None-Match, which the store behind s3a must honour.
 */
public final class ConditionalPutLogStore extends HadoopFileSystemLogStore {
    /** Hadoop's name; its `create(path, false)` only looks first, as Delta does. */
    private static final String IF_NONE_MATCH = "fs.option.create.conditional.overwrite";

    public ConditionalPutLogStore(Configuration configuration) {
        super(configuration);
    }

    /**
     * Writes a file as a whole.
     *
     * @throws FileAlreadyExistsException unless `overwrite`, if another content is there; Delta then takes the next
     *     version
     * @throws IOException if it is not there; or if nobody could find out, when it may be
     */
    @Override
    public void write(Path path, Iterator<String> lines, Boolean overwrite, Configuration configuration)
            throws IOException {
        FileSystem files = path.getFileSystem(configuration);
        StringBuilder text = new StringBuilder();
        lines.forEachRemaining(line -> text.append(line).append('\n'));
        byte[] content = text.toString().getBytes(StandardCharsets.UTF_8);
        if (overwrite) {
            put(files.create(path, true), content);
            return;
        }
        try {
            put((FSDataOutputStream) files.createFile(path).overwrite(true).must(IF_NONE_MATCH, true).build(), content);
        } catch (IOException problem) {
            // Refused, or the answer got lost: then a second try of the same put is refused because of the first.
            if (!files.exists(path)) {
                throw problem;
            }
            // A commit bears an id of its own: equal bytes are this very commit.
            if (!Arrays.equals(read(files, path), content)) {
                throw (IOException) new FileAlreadyExistsException(path.toString()).initCause(problem);
            }
        }
    }

    /** A put is seen as a whole or not at all. */
    @Override
    public Boolean isPartialWriteVisible(Path path, Configuration configuration) {
        return false;
    }

    private static void put(FSDataOutputStream out, byte[] content) throws IOException {
        try {
            out.write(content);
        } catch (IOException problem) {
            out.abort(); // closing would put what was written so far
            throw problem;
        }
        out.close();
    }

    private static byte[] read(FileSystem files, Path path) throws IOException {
        try (FSDataInputStream in = files.open(path)) {
            return in.readAllBytes();
        }
    }
}
