#include "insula/runtime/detail/wait_op.hpp"

#include <cassert>
#include <memory>

namespace insula::runtime::detail {

void* wait_op::operator new(std::size_t bytes) {
    return asio::recycling_allocator<unsigned char>().allocate(bytes);
}

void wait_op::operator delete(void* memory, std::size_t bytes) noexcept {
    asio::recycling_allocator<unsigned char>().deallocate(static_cast<unsigned char*>(memory),
                                                          bytes);
}

void wait_op::begin(list& waiters, request what) {
    waiters.push(*this);
    home_.enlist(*this);
    outcome_ = what.answer_at_deadline;
    if (!what.until.is_never()) {
        home_.timers().set(*this, what.until.at);
    }
}

void wait_op::finish(bool outcome) noexcept {
    if (waiters_ == nullptr) {
        return;  // decided before
    }
    waiters_->unlink(*this);
    home_.timers().remove(*this);
    delist();
    outcome_ = outcome;
    home_.push(*this);
}

void wait_op::on_cancel(void* op) {
    static_cast<wait_op*>(op)->finish(false);
}

void wait_op::expire() {
    finish(outcome_);
}

void wait_op::run() {
    const std::unique_ptr<wait_op, void (*)(wait_op*)> end(this, [](wait_op* op) { delete op; });
    handler_(outcome_);
}

void wait_op::drop() noexcept {
    delete this;
}

void wait_op::abandon() noexcept {
    waiters_->unlink(*this);
    home_.timers().remove(*this);
    delete this;
}

wait_op::list::~list() {
    finish_all(false);
}

void wait_op::list::push(wait_op& op) noexcept {
    assert(op.waiters_ == nullptr);
    op.waiters_ = this;
    op.previous_ = last_;
    (last_ != nullptr ? last_->following_ : first_) = &op;
    last_ = &op;
}

void wait_op::list::unlink(wait_op& op) noexcept {
    (op.previous_ != nullptr ? op.previous_->following_ : first_) = op.following_;
    (op.following_ != nullptr ? op.following_->previous_ : last_) = op.previous_;
    op.previous_ = op.following_ = nullptr;
    op.waiters_ = nullptr;
}

bool wait_op::list::finish_one(bool outcome) noexcept {
    if (first_ == nullptr) {
        return false;
    }
    first_->finish(outcome);
    return true;
}

void wait_op::list::finish_all(bool outcome) noexcept {
    while (finish_one(outcome)) {
    }
}

}  // namespace insula::runtime::detail
