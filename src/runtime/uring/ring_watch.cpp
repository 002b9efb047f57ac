#include "runtime/uring/ring.hpp"

#include "insula/runtime/descriptor.hpp"
#include "insula/runtime/detail/watch_state.hpp"

#include <boost/asio/error.hpp>

#include <poll.h>

#include <cerrno>

namespace insula::runtime::detail {

namespace {

// One-shot polls: each looks at the descriptor's state when it is submitted, which is what makes
// the readiness level-triggered for the caller whatever libpq has or has not read.
class ring_watch final : public watch_state {
public:
    ring_watch(loop& home, ring& owner, int fd) : watch_state(home, fd), ring_(owner) {}

private:
    struct poll_op final : ring_op {
        poll_op(ring_watch& s, std::size_t i) : self(s), index(i) {}
        void complete(int outcome, unsigned) override { self.polled(index, outcome); }

        ring_watch& self;
        std::size_t index;
        std::shared_ptr<watch_state> keep;  // while the kernel has it
    };

    void ask(std::size_t index) override {
        const int interests = places_[index].interests;
        unsigned mask = 0;
        if ((interests & descriptor_watch::read) != 0) {
            mask |= POLLIN | POLLRDHUP;
        }
        if ((interests & descriptor_watch::write) != 0) {
            mask |= POLLOUT;
        }
        polls_[index].keep = shared_from_this();
        ring_.submit(polls_[index], [this, mask](io_uring_sqe* entry) {
            io_uring_prep_poll_add(entry, fd_, mask);
        });
    }

    void withdraw(std::size_t index) noexcept override { ring_.cancel(polls_[index]); }

    void polled(std::size_t index, int outcome) {
        const auto alive = std::move(polls_[index].keep);
        if (releasing()) {
            forget();
        }
        if (!waits(index)) {
            return;  // the handler was destroyed with the loop
        }
        if (outcome == -ECANCELED) {
            const auto why = places_[index].stopped;
            settle(index, why ? why : error_code(asio::error::operation_aborted), true);
        } else if (outcome < 0) {
            settle(index, ring_error(outcome), true);
        } else {
            settle(index, ready(places_[index].interests, static_cast<unsigned>(outcome)), true);
        }
    }

    static int ready(int interests, unsigned events) {
        if ((events & (POLLERR | POLLHUP | POLLNVAL)) != 0) {
            return interests;
        }
        int mask = 0;
        if ((events & (POLLIN | POLLRDHUP)) != 0) {
            mask |= descriptor_watch::read;
        }
        if ((events & POLLOUT) != 0) {
            mask |= descriptor_watch::write;
        }
        return mask & interests;
    }

    void forget() noexcept override {
        if (!polls_[0].keep && !polls_[1].keep) {
            forgotten();
        }
    }

    ring& ring_;
    std::array<poll_op, places> polls_{poll_op(*this, 0), poll_op(*this, 1)};
};

}  // namespace

std::shared_ptr<watch_state> ring::make_watch(int fd) {
    return std::make_shared<ring_watch>(home_, *this, fd);
}

}  // namespace insula::runtime::detail
