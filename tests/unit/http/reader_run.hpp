#pragma once
// A reader driven without sockets; used by the unit tests and by the fuzz program.

#include "http/reader.hpp"
#include "http/refusal.hpp"
#include "http/target.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace insula::http::test {

struct transcript {
    std::vector<unsigned> statuses;
    std::vector<std::string> bodies;
    bool closed = false;
};

inline limits case_limits() {
    limits l;
    l.header_bytes_max = 1024;
    l.body_bytes_max = 64;
    return l;
}

/// What a session does with a reader, without sockets: octets in slices, statuses out.
class reader_run {
public:
    transcript feed(std::string_view bytes, std::size_t slice) {
        drain();
        while (!bytes.empty() && !out_.closed) {
            const auto room = reader_.prepare();
            const auto n = std::min({bytes.size(), slice, room.size()});
            std::memcpy(room.data(), bytes.data(), n);
            reader_.commit(n);
            bytes.remove_prefix(n);
            drain();
        }
        return out_;
    }

private:
    void drain() {
        while (!out_.closed) {
            switch (reader_.advance()) {
                case request_reader::step::need_more:
                    return;
                case request_reader::step::head:
                    head();
                    break;
                case request_reader::step::message:
                    out_.statuses.push_back(status_);
                    out_.bodies.emplace_back(reader_.body());
                    out_.closed = out_.closed || !reader_.keep_alive();
                    if (!out_.closed)
                        reader_.next();
                    break;
                case request_reader::step::refused:
                    out_.statuses.push_back(make_refusal(reader_.why(), "id").status());
                    out_.closed = true;
                    break;
            }
        }
    }
    void head() {
        const auto target = split(reader_.target(), reader_.method_token() == "OPTIONS");
        if (target.form == target_form::malformed) {
            out_.statuses.push_back(400);
            out_.closed = true;
            return;
        }
        status_ = target.form == target_form::asterisk ? 204 : 200;
        reader_.accept_body(limits_.body_bytes_max, true);
    }

    limits limits_ = case_limits();
    request_reader reader_{limits_};
    transcript out_;
    unsigned status_ = 200;
};

}  // namespace insula::http::test
