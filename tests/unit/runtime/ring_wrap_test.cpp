// G70: the three failures of Asio's io_uring backend in Boost 1.81 (shared/FACTS.md 1), in the
// shapes of the prototypes asio_fd_reuse, asio_ring_wrap and asio_descriptor_reuse, far past the
// wrap of every queue. INSULA_RING_ROUNDS makes them shorter, for slow builds.

#include "backends.hpp"
#include "sockets.hpp"

#include "insula/runtime/descriptor.hpp"
#include "insula/runtime/event.hpp"

#include <sys/eventfd.h>

#include <cstdlib>
#include <cstring>

namespace insula::runtime {
namespace {

int rounds() {
    const char* wanted = std::getenv("INSULA_RING_ROUNDS");
    const int count = wanted != nullptr ? std::atoi(wanted) : 0;
    return count > 0 ? count : 200'000;
}

// Small queues, so that they wrap every few rounds.
class ring_wrap : public test::loop_test {
protected:
    ring_wrap() : loop_test({.entries = 32, .buffer_count = 16, .buffer_bytes = 512}) {}
};
INSULA_ON_EVERY_BACKEND(ring_wrap);

// A read whose connection is closed under it.
struct doomed_read {
    char buffer[8] = {'-', '-', '-', '-', '-', '-', '-', '\0'};
    int calls = 0;
    error_code end;

    void start(stream& from) {
        from.async_read_some(asio::buffer(buffer), [this](error_code code, std::size_t) {
            ++calls;
            end = code;
        });
    }
    bool untouched() const { return std::strcmp(buffer, "-------") == 0; }
};

TEST_P(ring_wrap, G70_a_closed_stream_never_gets_the_bytes_of_its_successor) {
    int same_number = 0;
    int stolen = 0;
    run([&]() -> awaitable<void> {
        doomed_read old;
        for (int i = 0; i < rounds(); ++i) {
            old = {};
            auto first = test::unix_pair(home());
            const int number = first.ours.native_handle();
            old.start(first.ours);
            if (i % 3 == 0) {
                co_await first.ours.close();  // in good order
            } else if (i % 3 == 1) {
                co_await test::turns(1);  // the kernel has the read
            }
            first.ours = stream();  // i % 3 == 2: before the kernel has even heard of the read

            auto second = test::unix_pair(home());
            same_number += second.ours.native_handle() == number ? 1 : 0;
            second.peer.send("SECRET!");
            second.ours.expires_at(deadline::after(std::chrono::seconds(5)));
            char text[8] = "";
            const auto n = co_await second.ours.read_some(asio::buffer(text));
            while (old.calls == 0) {
                co_await test::turns(1);
            }
            stolen += old.untouched() && old.end == asio::error::operation_aborted ? 0 : 1;
            stolen += n && std::string_view(text, *n) == "SECRET!" ? 0 : 1;
            if (stolen > 0) {
                ADD_FAILURE() << "round " << i << ": the old read ended with '" << old.end.message()
                              << "' and '" << old.buffer << "', the new one with '" << text << "'";
                break;
            }
            EXPECT_EQ(first.peer.receive(), "");
            co_await second.ours.close();  // so that this number, too, is free for the next round
        }
    });
    EXPECT_GE(same_number, rounds() / 3) << "the test did not reach its case";
}

class ring_wrap_sends : public test::loop_test {
protected:
    ring_wrap_sends()
        : loop_test(
              {.entries = 32, .buffer_count = 16, .buffer_bytes = 512, .direct_send = false}) {}
};
INSULA_ON_EVERY_BACKEND(ring_wrap_sends);

TEST_P(ring_wrap_sends, G70_a_closed_stream_never_writes_to_the_peer_of_its_successor) {
    run([&]() -> awaitable<void> {
        for (int i = 0; i < rounds() / 4; ++i) {
            int calls = 0;
            auto first = test::unix_pair(home());
            // The number is free at once if the close does not wait for the write.
            first.ours.async_write_some(asio::buffer("OLD", 3),
                                        [&](error_code, std::size_t) { ++calls; });
            first.ours = stream();
            auto second = test::unix_pair(home());
            const auto sent = co_await second.ours.write(asio::buffer("NEW", 3));
            while (calls == 0) {
                co_await test::turns(1);
            }
            const auto arrived = second.peer.receive();
            if (!sent || arrived != "NEW") {
                ADD_FAILURE() << "round " << i << ": the new peer got '" << arrived << "'";
                break;
            }
        }
    });
}

TEST_P(ring_wrap, G70_a_cancellation_never_ends_another_streams_read) {
    int cancelled = 0;
    run([&]() -> awaitable<void> {
        auto always = test::unix_pair(home());  // read all the time, never cancelled
        auto noise = test::raw_unix_pair();     // waited for and cancelled in every round
        descriptor_watch watch(home(), noise.a.get());
        unsigned random = 12345;
        char byte = 0;
        event read_done(home());
        event watch_done(home());
        boost::system::result<int> answer = 0;
        error_code read_end;
        std::size_t read_bytes = 0;
        const auto wait_once = [&]() -> awaitable<void> {
            answer = co_await watch.wait(descriptor_watch::read, deadline::never());
            watch_done.set();
        };
        for (int i = 0; i < rounds(); ++i) {
            always.ours.async_read_some(asio::buffer(&byte, 1),
                                        [&](error_code code, std::size_t n) {
                                            read_end = code;
                                            read_bytes = n;
                                            read_done.set();
                                        });
            background(wait_once());
            random = random * 1664525U + 1013904223U;
            // Sometimes the kernel has the request when it is cancelled, sometimes not, and the
            // number of entries of a round changes.
            if ((random >> 24) % 3 != 0) {
                co_await test::turns(static_cast<int>((random >> 28) % 2) + 1);
            } else {
                co_await asio::post(home().get_executor(), use_awaitable);
            }
            watch.cancel();
            co_await watch_done.wait(deadline::never());
            cancelled += answer.has_error() && answer.error() == asio::error::operation_aborted;
            if (read_done.is_set()) {
                ADD_FAILURE() << "round " << i << ": the read ended with '" << read_end.message()
                              << "' though nobody wrote, closed or cancelled it";
                break;
            }
            always.peer.send("x");
            co_await read_done.wait(deadline::never());
            if (read_end || read_bytes != 1 || byte != 'x') {
                ADD_FAILURE() << "round " << i << ": " << read_end.message();
                break;
            }
        }
        co_await watch.release();
    });
    EXPECT_EQ(cancelled, rounds());
}

TEST_P(ring_wrap, G70_a_released_descriptor_never_answers_for_its_successor) {
    int same_number = 0;
    run([&]() -> awaitable<void> {
        event old_done(home());
        boost::system::result<int> old_answer = 0;
        const auto wait_once = [&](descriptor_watch& on) -> awaitable<void> {
            old_answer = co_await on.wait(descriptor_watch::read, deadline::never());
            old_done.set();
        };
        for (int i = 0; i < rounds(); ++i) {
            test::raw_fd first(::eventfd(0, EFD_CLOEXEC));
            const int number = first.get();
            descriptor_watch old(home(), number);
            background(wait_once(old));
            if (i % 2 == 0) {
                co_await test::turns(1);
            } else {
                co_await asio::post(home().get_executor(), use_awaitable);
            }
            co_await old.release();
            first.close();  // as PQfinish does

            const test::raw_fd second(::eventfd(1, EFD_CLOEXEC));
            same_number += second.get() == number ? 1 : 0;
            descriptor_watch fresh(home(), second.get());
            co_await old_done.wait(deadline::never());
            const auto answer = co_await fresh.wait(descriptor_watch::read, deadline::never());
            if (!answer || *answer != descriptor_watch::read || old_answer.has_value() ||
                old_answer.error() != asio::error::operation_aborted) {
                ADD_FAILURE() << "round " << i << ": old "
                              << (old_answer ? "ready" : old_answer.error().message()) << ", new "
                              << (answer ? std::to_string(*answer) : answer.error().message());
                break;
            }
            co_await fresh.release();
        }
    });
    EXPECT_EQ(same_number, rounds());
}

}  // namespace
}  // namespace insula::runtime
