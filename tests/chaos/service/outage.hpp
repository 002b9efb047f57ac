// One trouble, from its begin to the check that nothing is left of it.
#pragma once

#include "traffic.hpp"

#include <functional>

namespace insula::test {

/// What shows that a trouble really was one for this service.
enum class sign {
    gate,  ///< the gate did to bytes or connections what it was told
    lost,  ///< the service says that connections died
    lock,  ///< a session waits for a lock
    none,  ///< only its clients see it: those that are told 503
};

struct trouble {
    std::string name;
    std::function<void(patient&)> begin;
    std::function<void(patient&)> end;
    std::chrono::milliseconds lasts{};
    /// Whether everything that needs the database must be refused meanwhile.
    bool total = false;
    sign seen_by = sign::lost;
    /// Whether it is one while nobody is there.
    bool for_nobody = true;
    /// A task that was asking when it began may need so much longer than a second.
    std::chrono::milliseconds allowance{};
    /// A sentence when this machine cannot have it.
    std::function<std::string(patient&)> impossible = [](patient&) { return std::string(); };
};

/// For INSTANTIATE_TEST_SUITE_P.
inline std::string name_of(const testing::TestParamInfo<trouble>& info) {
    return info.param.name;
}
inline void PrintTo(const trouble& what, std::ostream* out) {
    *out << what.name;
}

/// The process holds no more than it did after the first busy second of this program, whatever
/// came since.
void check_holdings(patient& who);

class outage {
public:
    outage(patient& who, trouble what);

    void under_load();
    void while_idle();

private:
    void have_it();
    bool is_noticed() const;
    /// Everything works again, within a second more than it takes when nothing is wrong; and the
    /// process holds no more than before.
    void check_that_it_restores();
    void check_the_herd() const;
    double connected() const;
    void tell(const char* state, const traffic* clients) const;

    patient& who_;
    trouble what_;
    clock::time_point began_;
    clock::time_point over_;
    spans back_;
    double lost_before_ = 0;
    double connected_before_ = 0;
};

}  // namespace insula::test
