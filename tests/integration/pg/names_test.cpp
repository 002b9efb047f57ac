// Host names with several addresses. getaddrinfo() of this program knows some of its own.
#include "pg_fixture.hpp"
#include "support/gate.hpp"

#include "insula/runtime/cpu_pool.hpp"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string_view>

// 127.0.0.2 first, then 127.0.0.1.
extern "C" int getaddrinfo(const char* name, const char* service, const addrinfo* hints,
                           addrinfo** found) {
    using function = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
    static const auto real = reinterpret_cast<function>(::dlsym(RTLD_NEXT, "getaddrinfo"));
    if (name == nullptr || std::string_view(name) != "two.addresses.test") {
        return real(name, service, hints, found);
    }
    addrinfo* second = nullptr;
    const int code = real("127.0.0.1", service, hints, &second);
    if (const int first = code == 0 ? real("127.0.0.2", service, hints, found) : code; first != 0) {
        return first;
    }
    // freeaddrinfo() takes whole lists, so the first of each is all that may be linked.
    (*found)->ai_next = second;
    return 0;
}

namespace insula::pg::test_support {
namespace {

class pg_names : public pg_test {
protected:
    awaitable<pg_result<lease>> open() {
        auto how = options(shared_world());
        how.conninfo = between_.conninfo(shared_world().db().name(), shared_world().login());
        how.conninfo.replace(how.conninfo.find("127.0.0.1"), 9, "two.addresses.test");
        how.connect_timeout = 2s;
        pool_ = std::make_unique<pool>(home(), how, budget_, metrics_, &resolver_);
        co_return co_await pool_->acquire(soon());
    }
    awaitable<void> expect_connection() {
        const auto on = co_await open();
        EXPECT_TRUE(on) << describe(on.error());
    }
    insula::test::cluster& server_ = insula::test::shared_cluster();
    insula::test::gate between_{
        insula::test::endpoint{},
        {.path = server_.socket_folder() + "/.s.PGSQL." + std::to_string(server_.port())}};
    runtime::cpu_pool resolver_{1, 8};
    std::unique_ptr<pool> pool_;
};

INSULA_PG_ON_EVERY_BACKEND(pg_names);

TEST_P(pg_names, G52_an_address_that_refuses_is_not_the_last) {
    run([this]() -> awaitable<void> {
        co_await expect_connection();
        co_await pool_->close(soon());
    });
}

TEST_P(pg_names, G52_an_address_that_is_silent_takes_only_its_share_of_the_time) {
    const int silent = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in where{};
    where.sin_family = AF_INET;
    const auto local = between_.address();
    where.sin_port =
        htons(static_cast<std::uint16_t>(std::stoi(local.substr(local.find(':') + 1))));
    ::inet_pton(AF_INET, "127.0.0.2", &where.sin_addr);
    ASSERT_EQ(::bind(silent, reinterpret_cast<const sockaddr*>(&where), sizeof(where)), 0);
    ASSERT_EQ(::listen(silent, 8), 0);  // the kernel connects; nobody ever says anything
    run([this]() -> awaitable<void> {
        co_await expect_connection();
        co_await pool_->close(soon());
    });
    ::close(silent);
}

}  // namespace
}  // namespace insula::pg::test_support
