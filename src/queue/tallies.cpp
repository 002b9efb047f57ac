#include "queue/tallies.hpp"

namespace insula::queue::detail {

tallies::tallies(observe::metrics& m)
    : claimed(m, "insula_queue_claimed_total", "Runs claimed"),
      steps(m, "insula_queue_steps_total", "Steps committed, undos included"),
      finished(m, "insula_queue_finished_total", "Runs moved to history"),
      retried(m, "insula_queue_retries_total", "Steps that failed and wait for another try"),
      undone(m, "insula_queue_undone_total", "Steps undone"),
      held(m, "insula_queue_held_total", "Runs set aside for an operator"),
      stale_refused(m, "insula_queue_stale_refused_total", "Steps refused by the fence"),
      lost_landed(m, "insula_queue_lost_commits_landed_total",
                  "Commits whose answer was lost and that were found in the row"),
      lost_repeated(m, "insula_queue_lost_commits_repeated_total",
                    "Commits whose answer was lost and that had not happened"),
      rescued(m, "insula_queue_rescued_total", "Runs taken from dead workers"),
      postponed_unknown(m, "insula_queue_unknown_total",
                        "Runs of a kind or version not known here"),
      wakes_local(m, "insula_queue_wakes_total", "Looks by what caused them", {{"by", "local"}}),
      wakes_notified(m, "insula_queue_wakes_total", "Looks by what caused them",
                     {{"by", "notify"}}),
      wakes_polled(m, "insula_queue_wakes_total", "Looks by what caused them", {{"by", "poll"}}),
      registrations(m, "insula_queue_registrations_total", "Registrations as a worker"),
      recurring_fired(m, "insula_queue_recurring_fired_total", "Recurring tasks enqueued"),
      cleaned_up(m, "insula_queue_cleaned_up_total",
                 "Finished runs or used-up keys removed, whichever were more"),
      pickup(m.histogram("insula_queue_pickup_seconds", "From being ready to the claim")),
      claim_seconds(m.histogram("insula_queue_claim_seconds", "One look for work")),
      step_seconds(m.histogram("insula_queue_step_seconds",
                               "One move of a run: a step, an undo, a retry, the end")),
      run_seconds(m.histogram("insula_queue_run_seconds", "From its start here to end or parking")),
      batch_size(m.histogram("insula_queue_completion_batch", "Runs ended by one statement", {},
                             {1, 2, 4, 8, 16, 32, 64, 128, 256})),
      attempts(m.histogram("insula_queue_attempts", "Which try of its step a claim begins", {},
                           {1, 2, 3, 5, 8, 13, 21})),
      running(m.gauge("insula_queue_running", "Runs being worked on")) {}

void measured::set(const char* name, const char* help, const observe::labels& with, double value) {
    shown& one = all_[{name, with}];
    if (one.gauge == nullptr) {
        one.gauge = &metrics_.gauge(name, help, with);
    }
    one.gauge->set(value);
    one.round = round_;
}

void measured::end() {
    for (auto& [what, one] : all_) {
        if (one.round != round_) {
            one.gauge->set(0);
        }
    }
}

}  // namespace insula::queue::detail
