#pragma once

namespace insula::runtime {
class loop;
}

namespace insula::runtime::detail {

// Something that may hold a suspended handler of a loop. The loop keeps a list of them, so that it
// can destroy every suspended coroutine when it stops.
class loop_object {
public:
    loop_object() = default;
    loop_object(const loop_object&) = delete;
    loop_object& operator=(const loop_object&) = delete;

    // Drop pending handlers without running them. Called once, already off the list. May destroy
    // *this.
    virtual void abandon() noexcept = 0;

    bool enlisted() const noexcept { return slot_ != nullptr; }
    void delist() noexcept {
        if (slot_ != nullptr) {
            *slot_ = next_;
            if (next_ != nullptr) {
                next_->slot_ = slot_;
            }
            slot_ = nullptr;
            next_ = nullptr;
        }
    }

protected:
    ~loop_object() { delist(); }

private:
    friend class insula::runtime::loop;
    loop_object** slot_ = nullptr;  // what points to this one
    loop_object* next_ = nullptr;
};

}  // namespace insula::runtime::detail
