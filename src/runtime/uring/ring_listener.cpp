#include "runtime/uring/ring.hpp"

#include "insula/runtime/detail/listener_state.hpp"

#include <sys/socket.h>

#include <cerrno>

namespace insula::runtime::detail {

namespace {

// One multishot accept that stays until the queue is full or the kernel runs out of something.
class ring_listener final : public listener_state, private ring_op {
public:
    ring_listener(loop& home, ring& owner, int fd, address where, bool unlink)
        : listener_state(home, fd, std::move(where), unlink), ring_(owner) {}

private:
    void want_connections() override {
        if (armed_) {
            return;
        }
        armed_ = true;
        stopping_ = false;
        alive_ = shared_from_this();
        ring_.submit(*this, [this](io_uring_sqe* entry) {
            io_uring_prep_multishot_accept(entry, fd_, nullptr, nullptr, SOCK_CLOEXEC);
        });
    }

    void complete(int outcome, unsigned flags) override {
        const auto alive = shared_from_this();
        if ((flags & IORING_CQE_F_MORE) == 0) {
            armed_ = false;
            alive_.reset();
        }
        bool usable = true;
        if (outcome >= 0) {
            accepted(outcome);
        } else if (outcome != -ECANCELED && outcome != -EINTR && !closing()) {
            usable = accept_failed(-outcome);
        }
        if (closing()) {
            if (!armed_) {
                forgotten();
            }
        } else if (!wanted()) {
            stop();
        } else if (!armed_ && !ring_.draining() && usable) {
            want_connections();
        }
    }

    void stop() noexcept {
        if (armed_ && !stopping_) {
            stopping_ = true;
            ring_.cancel(*this);
        }
    }

    void forget() noexcept override {
        stop();
        if (!armed_) {
            forgotten();
        }
    }

    ring& ring_;
    bool armed_ = false;
    bool stopping_ = false;
    std::shared_ptr<listener_state> alive_;  // while the kernel has the request
};

}  // namespace

std::shared_ptr<listener_state> ring::make_listener(int fd, address where, bool unlink) {
    return std::make_shared<ring_listener>(home_, *this, fd, std::move(where), unlink);
}

}  // namespace insula::runtime::detail
