#include "insula/core/error.hpp"

#include "insula/core/values.hpp"

#include <utility>

namespace insula {

struct error::details {
    std::string detail;
    std::string internal;
    std::vector<field_error> fields;
    std::optional<std::chrono::seconds> retry_after;
    std::string extension;
};

error::error(errc code, std::string detail, std::string internal) : code_(code) {
    // Most errors are a bare code: no allocation for them.
    if (!detail.empty() || !internal.empty()) {
        more_ = std::make_shared<const details>(
            details{std::move(detail), std::move(internal), {}, std::nullopt, {}});
    }
}

error::error(errc code, std::shared_ptr<const details> more) noexcept
    : code_(code), more_(std::move(more)) {}

error error::validation(std::vector<field_error> fields) {
    return {errc::validation_failed,
            std::make_shared<const details>(details{{}, {}, std::move(fields), std::nullopt, {}})};
}

error error::validation(std::string pointer, std::string code, std::string detail) {
    std::vector<field_error> fields;
    fields.push_back({std::move(pointer), std::move(code), std::move(detail)});
    return validation(std::move(fields));
}

std::string_view error::detail() const noexcept {
    return more_ ? std::string_view(more_->detail) : std::string_view();
}

std::string_view error::internal() const noexcept {
    return more_ ? std::string_view(more_->internal) : std::string_view();
}

std::span<const field_error> error::fields() const noexcept {
    return more_ ? std::span<const field_error>(more_->fields) : std::span<const field_error>();
}

std::optional<std::chrono::seconds> error::retry_after() const noexcept {
    return more_ ? more_->retry_after : std::nullopt;
}

std::string_view error::extension() const noexcept {
    return more_ ? std::string_view(more_->extension) : std::string_view();
}

error::details error::copy_details() const {
    return more_ ? *more_ : details{};
}

error error::with_retry_after(std::chrono::seconds wait) const {
    auto copy = copy_details();
    copy.retry_after = wait;
    return {code_, std::make_shared<const details>(std::move(copy))};
}

error error::with_extension(std::string members_json) const {
    auto copy = copy_details();
    copy.extension = std::move(members_json);
    return {code_, std::make_shared<const details>(std::move(copy))};
}

error error::with_internal(std::string internal) const {
    auto copy = copy_details();
    copy.internal = std::move(internal);
    return {code_, std::make_shared<const details>(std::move(copy))};
}

std::string error::describe() const {
    std::string text(name());
    if (!detail().empty()) {
        text.append(": ").append(detail());
    }
    for (const auto& field : fields()) {
        text.append(" ").append(field.pointer).append("=").append(field.code);
    }
    if (!internal().empty()) {
        text.append(" [").append(internal()).append("]");
    }
    return text;
}

bad_result::bad_result(const error& e)
    : std::logic_error("value of a failed result: " + e.describe()), reason_(e) {}

void throw_exception_from_error(const error& e, const boost::source_location&) {
    throw bad_result(e);
}

void throw_exception_from_error(const value_problem& problem, const boost::source_location&) {
    throw std::logic_error("value of a refused text: " + problem.code);
}

}  // namespace insula
