#include "backends.hpp"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <iostream>

namespace insula::runtime {
namespace {

// From here on this process gets `reason` from io_uring_setup(2), as under Docker's default
// profile.
bool forbid_io_uring(int reason) {
    const auto answer = SECCOMP_RET_ERRNO | (static_cast<unsigned>(reason) & SECCOMP_RET_DATA);
    sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, answer),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{.len = std::size(code), .filter = code};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// What a child process under that filter writes to its pipe; "" when the filter could not be set.
std::string in_a_process_without_io_uring(int reason, std::string (*report)()) {
    int ends[2];
    if (::pipe(ends) != 0) {
        return {};
    }
    const auto child = ::fork();
    if (child == 0) {
        const auto text = forbid_io_uring(reason) ? report() : std::string();
        [[maybe_unused]] const auto written = ::write(ends[1], text.data(), text.size());
        ::_exit(0);
    }
    ::close(ends[1]);
    std::string all(65536, '\0');
    std::size_t size = 0;
    for (ssize_t n = 0; (n = ::read(ends[0], all.data() + size, all.size() - size)) > 0;) {
        size += static_cast<std::size_t>(n);
    }
    ::close(ends[0]);
    ::waitpid(child, nullptr, 0);
    all.resize(size);
    return all;
}

std::string describe(const result<backend_choice>& choice) {
    return choice ? std::string(name(choice->kind)) + ": " + choice->why
                  : "error: " + std::string(choice.error().internal());
}

awaitable<void> sleep_and_stop(loop& home, std::string& said) {
    co_await sleep_for(std::chrono::milliseconds(1));
    said = "ran on " + std::string(name(home.kind()));
    home.stop();
}

TEST(backend_choice, G71_where_seccomp_refuses_io_uring_auto_gives_epoll_says_why_and_runs) {
    const auto said = in_a_process_without_io_uring(EPERM, [] {
        const auto choice = choose_backend("auto");
        auto text = describe(choice);
        if (auto home = make_loop({.kind = choice->kind})) {
            std::string ran;
            asio::co_spawn(**home, sleep_and_stop(**home, ran), [](const std::exception_ptr&) {});
            (*home)->run();
            text += "; " + ran;
        }
        return text;
    });
    EXPECT_NE(said.find("epoll: io_uring is refused"), std::string::npos) << said;
    EXPECT_NE(said.find("Operation not permitted"), std::string::npos) << said;
    EXPECT_NE(said.find("seccomp"), std::string::npos) << said;
    EXPECT_NE(said.find("using epoll; ran on epoll"), std::string::npos) << said;
}

TEST(backend_choice, G71_a_kernel_without_io_uring_gives_epoll) {
    const auto said =
        in_a_process_without_io_uring(ENOSYS, [] { return describe(choose_backend("auto")); });
    EXPECT_NE(said.find("epoll: io_uring is refused"), std::string::npos) << said;
    EXPECT_NE(said.find("not implemented"), std::string::npos) << said;
}

TEST(backend_choice, G71_io_uring_asked_for_and_refused_is_an_error_that_says_what_to_do) {
    const auto said =
        in_a_process_without_io_uring(EPERM, [] { return describe(choose_backend("io_uring")); });
    EXPECT_TRUE(said.starts_with("error: io_uring is refused")) << said;
    EXPECT_NE(said.find("Choose the backend 'auto' or 'epoll'"), std::string::npos) << said;
    EXPECT_NE(said.find("kernel.io_uring_disabled"), std::string::npos) << said;
}

TEST(backend_choice, G71_a_ring_that_cannot_be_made_is_an_error_of_make_loop) {
    const auto said = in_a_process_without_io_uring(EPERM, [] {
        const auto made = make_loop({.kind = backend::io_uring});
        return made ? std::string("made") : std::string(made.error().internal());
    });
    EXPECT_NE(said.find("cannot make a loop on io_uring: io_uring_setup"), std::string::npos)
        << said;
}

TEST(backend_choice, epoll_is_always_there_and_nonsense_is_refused) {
    EXPECT_EQ(choose_backend("epoll")->kind, backend::epoll);
    EXPECT_FALSE(choose_backend("kqueue"));
    EXPECT_FALSE(choose_backend(""));
}

// Not an assertion about the machine: says which backends this run of the suite has covered.
TEST(backend_choice, tells_what_this_machine_allows) {
    const auto choice = choose_backend("auto");
    ASSERT_TRUE(choice);
    std::cout << "backends under test: " << test::available_backends().size() << " ("
              << describe(choice) << ")\n";
    EXPECT_EQ(test::available_backends().size(), choice->kind == backend::io_uring ? 2U : 1U);
}

}  // namespace
}  // namespace insula::runtime
