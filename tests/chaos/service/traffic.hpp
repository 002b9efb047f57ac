// Clients of every kind, all the time, and what they were answered.
#pragma once

#include "patient.hpp"

#include <atomic>
#include <mutex>
#include <thread>

namespace insula::test {

class traffic {
public:
    explicit traffic(patient& on);
    ~traffic() { stop(); }
    traffic(const traffic&) = delete;
    traffic& operator=(const traffic&) = delete;

    /// The bytes between service and PostgreSQL are changed: an answer may be any that HTTP knows,
    /// but none may hold what is another tenant's.
    void expect_nonsense() { nonsense_ = true; }
    void stop();
    std::size_t answers(int status) const;
    /// The longest that anybody waited for an answer, and what was answered so late.
    std::chrono::milliseconds longest() const;
    std::string slowest() const;
    /// Answers that nobody may get, cut connections and hangs, in words.
    std::vector<std::string> odd() const;
    /// After stop(): every accepted write is there once, no refused one twice, and every accepted
    /// registration becomes ready.
    void expect_nothing_lost_or_doubled();

private:
    using act = void (traffic::*)();

    void repeat(act what);
    void read();
    void write();
    void enrol();
    void revoke();
    /// As http_client::send, timed and judged; nothing when there was no answer.
    std::optional<http_answer> ask(http_client& client, const std::string& method,
                                   const std::string& target, http_fields fields,
                                   const json::value& body, bool is_ended = false);
    /// `is_ended`: the session is, or may be, so 401 is the truth.
    void judge(const std::string& what, const http_answer& answer, clock::duration took,
               bool is_ended);
    /// Until it is neither 503 nor lost, with the same key; nothing when it is time to stop.
    std::optional<http_answer> insist(http_client& client, const std::string& target,
                                      http_fields fields, const json::value& body);

    patient& on_;
    std::atomic<bool> stopping_{false};
    std::atomic<bool> nonsense_{false};
    mutable std::mutex guard_;
    std::map<int, std::size_t> answers_;
    std::chrono::milliseconds longest_{};
    std::string slowest_;
    std::vector<std::string> odd_;
    std::vector<std::string> accepted_;  // names of projects
    std::vector<std::string> refused_;   // or not known
    std::vector<std::string> enrolled_;  // status URLs
    std::vector<std::thread> threads_;
};

}  // namespace insula::test
