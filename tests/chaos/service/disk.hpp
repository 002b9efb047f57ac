// A disk so small that it can be filled.
#pragma once

#include <string>

namespace insula::test {

/// Mounted while the object lives; needs the right to mount.
class small_disk {
public:
    /// `owner_like`: a file whose owner shall own it.
    small_disk(const std::string& folder, unsigned megabytes, const std::string& owner_like);
    ~small_disk();
    small_disk(const small_disk&) = delete;
    small_disk& operator=(const small_disk&) = delete;

    /// Empty, or a sentence.
    const std::string& problem() const { return problem_; }
    const std::string& folder() const { return folder_; }
    /// Until nothing more goes on it.
    void fill();
    void free();

private:
    std::string folder_;
    std::string problem_;
};

}  // namespace insula::test
