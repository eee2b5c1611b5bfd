// A reader as rules by program see it: copied to several paths, each copy is another program.
//
//     reader show FILE...              each file: its path, errno, fstat's size and the bytes
//     reader look FILE TIMES           REFUSED if each open fails by EACCES
//     reader wait FILE                 opens once, says "got" or "refused"
//     reader loop FILE                 opens until killed
//     reader race HOW FILE OTHER US    threads open while after US microseconds the process
//          e  runs OTHER by a sibling of the leader, which opens
//          E  runs OTHER by the leader, while its siblings open
//          x  ends by exit(3)
//          d  ends its leader, then the siblings
//     reader reuse FILE LOOP TRIES US  kills LOOP within US microseconds and opens with its pid

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REFUSED = 10, OPENED = 11, FAILED = 12, INHERITED = 13 };

static const char *file, *other;
static unsigned delay;
static volatile int is_over;

// Opens the file and reads it to its end; 0 or an errno.
static int read_once(void)
{
    char bytes[1 << 16];
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    while (read(fd, bytes, sizeof bytes) > 0) {
    }
    close(fd);
    return 0;
}

static int look(int times)
{
    // What a thread opened must not have come through the execve(2) either.
    struct stat ours, held;
    stat(file, &ours);
    for (int fd = 0; fd < 1024; fd++)
        if (fstat(fd, &held) == 0 && held.st_dev == ours.st_dev)
            return INHERITED;
    while (times-- > 0) {
        int error = read_once();
        if (error != EACCES)
            return error == 0 ? OPENED : FAILED;
    }
    return REFUSED;
}

static void *open_on(void *unused)
{
    while (!is_over)
        read_once();
    return unused;
}

static void *become_other(void *unused)
{
    usleep(delay);
    char *const args[] = {(char *)other, "look", (char *)file, "3", NULL};
    execv(other, args);
    _exit(FAILED);
    return unused;
}

static int race(char how)
{
    pthread_t thread;
    int openers = how == 'e' ? 1 : 3;
    for (int i = 0; i < openers; i++)
        if (pthread_create(&thread, NULL, i == 0 && how == 'e' ? become_other : open_on, NULL))
            return FAILED;
    switch (how) {
    case 'e':
        open_on(NULL);
        break;
    case 'E':
        become_other(NULL);
        break;
    case 'd':
        usleep(delay);
        is_over = 1;
        pthread_exit(NULL);
    default:
        usleep(delay);
    }
    exit(0);
}

static void show(const char *path)
{
    char bytes[1 << 17];
    struct stat told = {0};
    size_t length = 0;
    ssize_t count;
    int fd = open(path, O_RDONLY | O_CLOEXEC), error = fd < 0 ? errno : 0;
    if (fd >= 0) {
        fstat(fd, &told);
        while ((count = read(fd, bytes + length, sizeof bytes - length)) > 0)
            length += (size_t)count;
        close(fd);
    }
    printf("%s\t%d\t%ld\t%zu\n", path, error, (long)told.st_size, length);
    fwrite(bytes, 1, length, stdout);
}

// fork(2) with a pid of our choice, if it is not 0.
static pid_t fork_as(pid_t pid)
{
    struct clone_args args = {.exit_signal = SIGCHLD};
    if (pid) {
        args.set_tid = (unsigned long)&pid;
        args.set_tid_size = 1;
    }
    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

static int reuse(const char *loop, int tries, unsigned longest)
{
    int reused = 0, status;
    while (tries-- > 0) {
        pid_t pid = fork_as(0);
        if (pid == 0) {
            char *const args[] = {(char *)loop, "loop", (char *)file, NULL};
            execv(loop, args);
            _exit(FAILED);
        }
        usleep((unsigned)rand() % longest);
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        pid_t again = fork_as(pid);
        if (again == 0)
            _exit(look(2));
        if (again < 0 && errno == EPERM)
            return FAILED;
        if (again < 0)
            continue; // Somebody else has it now.
        waitpid(again, &status, 0);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != REFUSED)
            return WIFEXITED(status) ? WEXITSTATUS(status) : FAILED;
        reused++;
    }
    printf("%d\n", reused);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return FAILED;
    const char *mode = argv[1];
    if (!strcmp(mode, "show")) {
        for (int i = 2; i < argc; i++)
            show(argv[i]);
        return 0;
    }
    file = argv[2];
    if (!strcmp(mode, "look"))
        return look(atoi(argv[3]));
    if (!strcmp(mode, "wait"))
        return read_once() == 0 ? puts("got"), 0 : puts("refused"), 0;
    if (!strcmp(mode, "loop"))
        open_on(NULL);
    if (!strcmp(mode, "race")) {
        file = argv[3];
        other = argv[4];
        delay = (unsigned)atoi(argv[5]);
        return race(argv[2][0]);
    }
    if (!strcmp(mode, "reuse"))
        return reuse(argv[3], atoi(argv[4]), (unsigned)atoi(argv[5]));
    return FAILED;
}
