#pragma once
// The one place where a process says which workflows it knows.

#include "insula/core/json.hpp"
#include "insula/queue/encode.hpp"
#include "insula/queue/workflow.hpp"

#include <cstddef>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace insula::queue {

/// What the engine needs to know of a step without its types.
struct step_info {
    std::string_view name;
    bool outside = false;
    bool has_undo = false;
    bool undo_outside = false;
    bool joins_previous = false;
    bool point_of_no_return = false;
    retry_policy retry;
    std::chrono::milliseconds timeout{0};
};

/// A workflow with its types erased. Immutable; lives as long as its registry.
class definition {
public:
    virtual ~definition() = default;
    definition(const definition&) = delete;
    definition& operator=(const definition&) = delete;

    [[nodiscard]] std::string_view kind() const noexcept { return kind_; }
    [[nodiscard]] int version() const noexcept { return version_; }
    [[nodiscard]] std::span<const step_info> steps() const noexcept { return steps_; }
    /// Runs of these older versions go on with this definition when theirs is not registered.
    [[nodiscard]] std::span<const int> continues() const noexcept { return continues_; }

    using input_ptr = std::shared_ptr<const void>;
    [[nodiscard]] virtual result<input_ptr> read_input(std::string_view json) const = 0;
    [[nodiscard]] virtual runtime::awaitable<step_result<>> run(std::size_t index,
                                                                database_step& step,
                                                                const void* input) const = 0;
    [[nodiscard]] virtual runtime::awaitable<step_result<>> call(std::size_t index,
                                                                 outside_step& step,
                                                                 const void* input) const = 0;
    [[nodiscard]] virtual runtime::awaitable<step_result<>> undo(std::size_t index,
                                                                 database_step& step,
                                                                 const void* input) const = 0;
    [[nodiscard]] virtual runtime::awaitable<step_result<>> undo_call(std::size_t index,
                                                                      outside_step& step,
                                                                      const void* input) const = 0;
    [[nodiscard]] virtual bool has_finish() const noexcept = 0;
    [[nodiscard]] virtual runtime::awaitable<step_result<>> finish(database_step& step,
                                                                   const void* input,
                                                                   const ending& how) const = 0;
    [[nodiscard]] virtual bool has_unreadable() const noexcept = 0;
    [[nodiscard]] virtual runtime::awaitable<step_result<>> unreadable(
        database_step& step, const failure& why) const = 0;

protected:
    definition(std::string_view kind, int version, std::vector<step_info> steps,
               std::vector<int> continues)
        : kind_(kind),
          version_(version),
          steps_(std::move(steps)),
          continues_(std::move(continues)) {}

private:
    std::string_view kind_;
    int version_;
    std::vector<step_info> steps_;
    std::vector<int> continues_;
};

namespace detail {

/// Compile-time rules of a list of steps; empty when it is right.
template <class Steps>
constexpr std::string_view wrong_steps(const Steps& rows) {
    if (rows.empty()) {
        return "a workflow has at least one step";
    }
    bool marked = false;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto& s = rows[i];
        if (s.name.empty() || s.name.size() > 63) {
            return "a step has a name of at most 63 characters";
        }
        if ((s.run != nullptr) == (s.call != nullptr)) {
            return "a step has exactly one of run and call";
        }
        if (s.undo != nullptr && s.undo_call != nullptr) {
            return "a step has at most one of undo and undo_call";
        }
        if (s.joins_previous && (i == 0 || s.run == nullptr || rows[i - 1].run == nullptr)) {
            return "joins_previous joins a database step to a database step";
        }
        if (s.point_of_no_return && std::exchange(marked, true)) {
            return "there is one point of no return";
        }
        if (marked && !s.point_of_no_return && (s.undo != nullptr || s.undo_call != nullptr)) {
            return "behind the point of no return nothing is undone";
        }
        for (std::size_t k = 0; k < i; ++k) {
            if (rows[k].name == s.name) {
                return "step names are unique";
            }
        }
    }
    return {};
}

template <class W>
class typed_definition final : public definition {
public:
    explicit typed_definition(W workflow)
        : definition(W::kind, workflow_version<W>, infos(), older()),
          workflow_(std::move(workflow)) {}

    result<input_ptr> read_input(std::string_view json) const override {
        auto parsed = parse_json(json);
        if (!parsed) {
            return parsed.error();
        }
        auto decoded = decode<input>(*parsed);
        if (!decoded) {
            return decoded.error();
        }
        return input_ptr(std::make_shared<const input>(std::move(*decoded)));
    }
    runtime::awaitable<step_result<>> run(std::size_t index, database_step& step,
                                          const void* in) const override {
        return begun(rows_[index].run, step, in);
    }
    runtime::awaitable<step_result<>> call(std::size_t index, outside_step& step,
                                           const void* in) const override {
        return begun(rows_[index].call, step, in);
    }
    runtime::awaitable<step_result<>> undo(std::size_t index, database_step& step,
                                           const void* in) const override {
        return begun(rows_[index].undo, step, in);
    }
    runtime::awaitable<step_result<>> undo_call(std::size_t index, outside_step& step,
                                                const void* in) const override {
        return begun(rows_[index].undo_call, step, in);
    }
    bool has_finish() const noexcept override { return has_on_finish<W>; }
    runtime::awaitable<step_result<>> finish(database_step& step, const void* in,
                                             const ending& how) const override {
        if constexpr (has_on_finish<W>) {
            return workflow_.on_finish(step, *static_cast<const input*>(in), how);
        } else {
            return nothing();
        }
    }
    bool has_unreadable() const noexcept override { return has_on_unreadable<W>; }
    runtime::awaitable<step_result<>> unreadable(database_step& step,
                                                 const failure& why) const override {
        if constexpr (has_on_unreadable<W>) {
            return workflow_.on_unreadable(step, why);
        } else {
            return nothing();
        }
    }

private:
    using input = typename W::input;
    static constexpr auto rows_ = W::steps();
    static_assert(wrong_steps(rows_).empty(),
                  "see detail::wrong_steps in insula/queue/registry.hpp for the rules");

    static runtime::awaitable<step_result<>> nothing() { co_return step_result<>{}; }
    static runtime::awaitable<step_result<>> thrown(std::exception_ptr what) {
        std::rethrow_exception(what);
        co_return step_result<>{};
    }
    /// A step need not be a coroutine: what it throws at once comes out where one is awaited, too.
    template <class Member, class Step>
    runtime::awaitable<step_result<>> begun(Member member, Step& step, const void* in) const {
        try {
            return (workflow_.*member)(step, *static_cast<const input*>(in));
        } catch (...) {
            return thrown(std::current_exception());
        }
    }

    static std::vector<int> older() {
        if constexpr (has_continues<W>) {
            return {W::continues.begin(), W::continues.end()};
        } else {
            return {};
        }
    }

    static std::vector<step_info> infos() {
        std::vector<step_info> out;
        for (const auto& s : rows_) {
            out.push_back({.name = s.name,
                           .outside = s.call != nullptr,
                           .has_undo = s.undo != nullptr || s.undo_call != nullptr,
                           .undo_outside = s.undo_call != nullptr,
                           .joins_previous = s.joins_previous,
                           .point_of_no_return = s.point_of_no_return,
                           .retry = s.retry,
                           .timeout = s.timeout});
        }
        return out;
    }

    W workflow_;
};

}  // namespace detail

/// Filled at start-up, then only read, from any loop.
class registry {
public:
    registry() = default;
    registry(registry&&) noexcept = default;
    registry& operator=(registry&&) noexcept = default;

    /// Several versions of a kind may be there. Throws std::logic_error when kind and version are
    /// there already, or when a version declares to continue itself or a newer one. Wrong lists of
    /// steps do not compile.
    template <class W>
    registry& add(W workflow) {
        insert(std::make_unique<detail::typed_definition<W>>(std::move(workflow)));
        return *this;
    }

    /// That very version, or else the newest that declares to continue it; null: not known here.
    [[nodiscard]] const definition* find(std::string_view kind, int version) const noexcept;
    [[nodiscard]] std::size_t size() const noexcept { return definitions_.size(); }

private:
    void insert(std::unique_ptr<definition> what);

    std::map<std::pair<std::string, int>, std::unique_ptr<definition>, std::less<>> definitions_;
};

}  // namespace insula::queue
