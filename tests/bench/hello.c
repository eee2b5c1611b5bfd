/*
 * The least that libfuse's low-level interface needs to serve one file: default options, one
 * thread, names and attributes cached for a second, content through the page cache.
 *
 * hello FILE MOUNTPOINT [MOUNT_OPTIONS]
 * serves the bytes of FILE as the file "credentials" until SIGTERM or an unmount.
 */
#define FUSE_USE_VERSION 35
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_INO = 2 };
static const double TTL = 1.0;

static char *content;
static size_t length;

static int attributes(fuse_ino_t ino, struct stat *st)
{
	memset(st, 0, sizeof *st);
	st->st_ino = ino;
	st->st_uid = geteuid();
	st->st_gid = getegid();
	if (ino == FUSE_ROOT_ID) {
		st->st_mode = S_IFDIR | 0500;
		st->st_nlink = 2;
	} else if (ino == FILE_INO) {
		st->st_mode = S_IFREG | 0400;
		st->st_nlink = 1;
		st->st_size = (off_t)length;
	} else {
		return -1;
	}
	return 0;
}

static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry;

	if (parent != FUSE_ROOT_ID || strcmp(name, "credentials") != 0) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	memset(&entry, 0, sizeof entry);
	entry.ino = FILE_INO;
	entry.attr_timeout = TTL;
	entry.entry_timeout = TTL;
	attributes(FILE_INO, &entry.attr);
	fuse_reply_entry(req, &entry);
}

static void do_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	if (attributes(ino, &st) != 0)
		fuse_reply_err(req, ENOENT);
	else
		fuse_reply_attr(req, &st, TTL);
}

static void do_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (ino != FILE_INO)
		fuse_reply_err(req, EISDIR);
	else if ((fi->flags & O_ACCMODE) != O_RDONLY)
		fuse_reply_err(req, EROFS);
	else
		fuse_reply_open(req, fi);
}

static void do_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	size_t start = (size_t)offset < length ? (size_t)offset : length;

	(void)ino;
	(void)fi;
	if (size > length - start)
		size = length - start;
	fuse_reply_buf(req, content + start, size);
}

static const struct fuse_lowlevel_ops OPERATIONS = {
	.lookup = do_lookup,
	.getattr = do_getattr,
	.open = do_open,
	.read = do_read,
};

static int load(const char *path)
{
	struct stat st;
	FILE *file = fopen(path, "rb");

	if (file == NULL || fstat(fileno(file), &st) != 0)
		return -1;
	length = (size_t)st.st_size;
	content = malloc(length + 1);
	if (content == NULL || fread(content, 1, length, file) != length)
		return -1;
	return fclose(file);
}

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_session *session;
	int result = 1;

	if (argc < 3 || load(argv[1]) != 0) {
		fprintf(stderr, "usage: %s FILE MOUNTPOINT [MOUNT_OPTIONS]\n", argv[0]);
		return 2;
	}
	if (fuse_opt_add_arg(&args, argv[0]) != 0)
		return 1;
	if (argc > 3 && (fuse_opt_add_arg(&args, "-o") != 0 || fuse_opt_add_arg(&args, argv[3]) != 0))
		return 1;
	session = fuse_session_new(&args, &OPERATIONS, sizeof OPERATIONS, NULL);
	if (session == NULL)
		return 1;
	if (fuse_set_signal_handlers(session) == 0) {
		if (fuse_session_mount(session, argv[2]) == 0) {
			result = fuse_session_loop(session) < 0;
			fuse_session_unmount(session);
		}
		fuse_remove_signal_handlers(session);
	}
	fuse_session_destroy(session);
	fuse_opt_free_args(&args);
	return result;
}
