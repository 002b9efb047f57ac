// What must hold in the queue's tables once everything has come to rest (QUEUE.md section 9), asked
// over plain SQL with nothing of the engine in between.
#pragma once

#include "support/postgres.hpp"

#include <string>
#include <vector>

namespace insula::test {

/// One sentence for each rule that is broken; empty when all hold. `effects` names a table (run
/// uuid, step text, direction smallint) into which the tests' database steps wrote one row for each
/// effect, `calls` one (run uuid, step text, direction smallint, key text) with one row for each
/// outside call; empty: not looked at.
inline std::vector<std::string> queue_violations(test_database& db, const std::string& effects = {},
                                                 const std::string& calls = {}) {
    std::vector<std::string> found;
    const auto none = [&](const std::string& rule, const std::string& sql) {
        const rows bad = db.query_admin(sql);
        if (!bad.empty()) {
            found.push_back(rule + ": " + std::to_string(bad.size()) + " rows, first " + bad[0][0]);
        }
    };
    none("I1: a run ends once", "select r.id from queue.run r join queue.history h using (id)");
    none("I1: nothing is left but what is held", "select id from queue.run where state <> 3");
    none("I3: undone is what was done and has an undo, all of it",
         "select h.id from queue.history h join queue.step f on f.run = h.id and f.direction = 1"
         " left join queue.step b on b.run = h.id and b.direction = -1 and b.seq = f.seq"
         " where h.direction = -1 and (f.compensation is not null) <> (b.run is not null)");
    none(
        "I3: nothing is undone that was not done",
        "select b.run from queue.step b left join queue.step f on f.run = b.run and f.direction = 1"
        " and f.seq = b.seq where b.direction = -1 and f.run is null");
    none("I3: undone in reverse",
         "select a.run from queue.step a join queue.step b using (run)"
         " where a.direction = -1 and b.direction = -1 and a.seq < b.seq and a.at < b.at");
    none("I3: a run that ended well undid nothing",
         "select h.id from queue.history h join queue.step s on s.run = h.id where h.state = 4"
         " and s.direction = -1");
    none("I4: no ready row without a ready run",
         "select q.id from queue.ready q left join queue.run r using (id)"
         " where r.id is null or r.state <> 0");
    none("I4: no ready run without its row",
         "select r.id from queue.run r left join queue.ready q using (id) where r.state = 0 and "
         "q.id is null");
    none("I4: no timer without a waiting run",
         "select t.id from queue.timer t left join queue.run r using (id)"
         " where r.id is null or r.state <> 2");
    none("I4: no waiting run without timer or place in a line",
         "select r.id from queue.run r where r.state = 2"
         " and not exists (select from queue.timer t where t.id = r.id)"
         " and not exists (select from queue.key_lock k where r.id = any (k.waiters))");
    none("I4: no key held by a run that is gone",
         "select k.key from queue.key_lock k left join queue.run r on r.id = k.run where r.id is "
         "null");
    none("I4: nothing runs for a dead owner",
         "select r.id from queue.run r left join queue.worker w on w.id = r.owner and not w.dead"
         " where r.state = 1 and w.id is null");
    if (!effects.empty()) {
        none("I2: an effect once for each run, step and direction",
             "select run from " + effects + " group by run, step, direction having count(*) > 1");
        none("I2: no effect without its checkpoint",
             "select e.run from " + effects +
                 " e left join queue.step s on s.run = e.run"
                 " and s.name = e.step and s.direction = e.direction and s.state = 1 where s.run "
                 "is null");
    }
    if (!calls.empty()) {
        none("I5: one key for each run, step and direction",
             "select run from " + calls +
                 " group by run, step, direction having count(distinct key) > 1");
    }
    return found;
}

}  // namespace insula::test
