"""What a check of an access token costs: cold, cached, refused, beside OpenSSL alone on the same bytes."""
TITLE = "Token check"
ORDER = 10
PROGRAMS = ["token_bench", "tenancy_bench"]

ALGORITHMS = ["HS256", "ES256", "EdDSA", "RS256"]
# A refused token is compared with the good one of the same spelling: it says what refusing costs, not what a longer
# payload or an unusual header costs.
TWINS = {"bad_signature_other_header": "good/other_header", "bad_signature_longest_other_header": "good/other_header",
         "expired_other_header": "good/other_header", "unknown_claim_twice": "good/eight_unknown_claims",
         "not_before": "good/not_before"}


def measure(bench):
    rows = {}
    # HS256 alone first: its refusals differ by nanoseconds. The others are their signature and little else.
    for pattern, repetitions, time in (("^HS256/", 9, 0.03), ("^(ES256|EdDSA|RS256)/", 15, 0.02), ("^cache/", 7, 0.05)):
        rows.update(bench.google("token_bench", filter=pattern, repetitions=repetitions, min_time=time))
    return {"rows": rows, "revocations": bench.google("tenancy_bench", repetitions=7, min_time=0.05)}


def ratio(rows, over, under):
    """Of the lowest of all repetitions, to the hundredth: the work is the same each time, and noise only adds."""
    return round(min(rows[over]["cpu_ns"]) / min(rows[under]["cpu_ns"]), 2)


def refusals(rows, algorithm, group):
    """Cheapest first."""
    start = f"{algorithm}/{group}/"
    found = [name for name in rows if name.startswith(start)]
    return [name[len(start):] for name in sorted(found, key=lambda name: min(rows[name]["cpu_ns"]))]


def twin(algorithm, kind):
    return f"{algorithm}/{TWINS.get(kind, 'cold')}"


def worst(rows, algorithm):
    """(kind, its ratio) of the refusal that costs most beside its good twin."""
    return max(((kind, ratio(rows, f"{algorithm}/{group}/{kind}", twin(algorithm, kind)))
                for group in ("refused", "signed") for kind in refusals(rows, algorithm, group)),
               key=lambda each: each[1])


def allocated(row):
    return f"{max(row['allocations']):.0f}"


def report_good(rows, page):
    page.text("""
Each check is whole: three segments, header, key, algorithm, signature, base64url without a second spelling, strict JSON
without doubled members, every claim's type and range, issuer, audience and times. Nothing is left out of a cold check,
and a cached one compares the whole token and looks at the expiry and the keys' generation. *OpenSSL alone* verifies the
same signed bytes with contexts prepared before: for HS256 copies of two digests that have eaten the key (pre-keyed
HMAC), for ES256 with the signature in DER already. CPU time of one thread; allocations are calls of `operator new`
(OpenSSL's own are in the time only).
""")
    page.table(["", "OpenSSL alone", "cold", "cached", "allocations, cold and cached", "sign"],
               [[a] + [page.spread(rows[f"{a}/{what}"]["cpu_ns"], "ns") for what in ("openssl_alone", "cold", "cached")] +
                [allocated(rows[f"{a}/cold"]) + ", " + allocated(rows[f"{a}/cached"]),
                 page.spread(rows[f"{a}/sign"]["cpu_ns"], "ns")] for a in ALGORITHMS])
    hmac = "HS256/openssl_alone"
    page.target("HS256 cold ÷ pre-keyed HMAC of the same bytes", page.ratios(
        rows["HS256/cold"]["cpu_ns"], rows[hmac]["cpu_ns"]), at_most=1.7)
    page.target("cached ÷ pre-keyed HMAC of the same bytes", page.ratios(
        rows["HS256/cached"]["cpu_ns"], rows[hmac]["cpu_ns"]), at_most=0.35)
    page.target("allocations of a cached check, any algorithm",
                max(max(rows[f"{a}/cached"]["allocations"]) for a in ALGORITHMS), at_most=0)
    page.target("ES256 cold ÷ raw verify", page.ratios(
        rows["ES256/cold"]["cpu_ns"], rows["ES256/openssl_alone"]["cpu_ns"]), at_most=1.02)
    page.target("ES256 cold ÷ cached", page.ratios(
        rows["ES256/cold"]["cpu_ns"], rows["ES256/cached"]["cpu_ns"]), at_least=300)


def report_refused(rows, page):
    page.text("""
### Refused tokens

Each beside the good token of the same spelling (a header in our spelling or another, the same claims), so that a ratio
above 1 means that somebody gets more work out of us with a bad token than with a good one. *Anybody* can send the first
kind: made up, cut, changed, or good once. The second kind is *signed*: only whoever holds our key could make it.
Each is the mean of 64 tokens of its kind (8 with HS256), because a verification costs what its signature happens to be.
Ratios are of the lowest of all repetitions (the work is the same each time, noise only adds), to the hundredth. What
reaches the signature costs as much as the signature; everything else is refused before it, 1 MiB of anything in the time
of a comparison. Instruction counts, kind by kind: [decision 12](decisions/0012-checks-and-texts.md).
""")
    for algorithm in ALGORITHMS:
        kind, found = worst(rows, algorithm)
        page.target(f"{algorithm}: worst refused token ({kind.replace('_', ' ')}) ÷ good", found, at_most=1.0)
    lines = []
    for group, who in (("refused", "anybody"), ("signed", "signed")):
        for kind in refusals(rows, "HS256", group):
            lines.append([kind.replace("_", " "), who, rows[f"HS256/{group}/{kind}"]["label"].replace("_", " ")] +
                         [page.spread(rows[f"{a}/{group}/{kind}"]["cpu_ns"], "ns") for a in ("HS256", "ES256")] +
                         [f"{ratio(rows, f'{a}/{group}/{kind}', twin(a, kind)):.2f}"
                          for a in ALGORITHMS])
    page.table(["token", "who", "refused as", "HS256", "ES256"] + [a + " ÷ good" for a in ALGORITHMS], lines)
    most = max(max(rows[f"{a}/{group}/{kind}"]["allocations"]) for a in ALGORITHMS for group in ("refused", "signed")
               for kind in refusals(rows, a, group))
    page.text(f"Allocations of a refusal, at most: {most:.0f}.")


def report_cache(rows, page):
    hit = {n: [h - c for h, c in zip(rows[f"cache/hit/{n}"]["cpu_ns"], rows[f"cache/copy_of_token/{n}"]["cpu_ns"])]
           for n in (1, 1000, 100000)}
    page.text("""
### The cache of verdicts

Sessions at random in a cache of twice their number. Every token is first copied to where a receive buffer would have
it; that copy is measured alone and taken off. Beyond a few thousand sessions the price is memory: an entry is 1.2 kB,
most of it the token, because the whole token is compared. *Churn* is a look-up that misses and a `put()` that evicts,
with sixteen times as many sessions as entries; *miss* is what a refusal or a first sight pays for looking.
""")
    page.table(["", "figure"],
               [[f"hit, {n:,} sessions", page.spread(hit[n], "ns")] for n in hit] +
               [["miss", page.spread(rows["cache/miss"]["cpu_ns"], "ns")],
                ["churn: miss and eviction", page.spread(rows["cache/churn"]["cpu_ns"], "ns")]])
    page.plot("cache", "A hit in the cache of verdicts", "sessions at random", "ns",
              {"hit": [(n, values) for n, values in hit.items()]}, logx=True)
    page.plot("check", "A check of a good token, HS256", "", "ns, CPU",
              {"HS256": [(what.replace("_", " "), rows[f"HS256/{what}"]["cpu_ns"])
                         for what in ("openssl_alone", "cold", "cached")]}, bars=True)
    page.lost("A loop keeps 16,384 verdicts. With more live tokens than that, the rest pay the cold check each time: "
              f"for ES256 {page.spread(rows['ES256/cold']['cpu_ns'], 'ns')} instead of some ten nanoseconds.")


def report_revocations(rows, page):
    page.text("""
### Revocations

What every request pays beyond its token's check: whether the feed has been heard, a shared lock, and the look at session,
account and tenant, all in memory; by the number of revocations remembered (1,000 people at random, one and two threads).
""")
    page.table(["remembered", "one thread", "two threads, each"],
               [[f"{n:,}"] + [page.spread(rows[f"check/{n}/threads:{t}"]["cpu_ns"], "ns") for t in (1, 2)]
                for n in (0, 2000, 200000)])


def report(data, page):
    rows = data["rows"]
    report_good(rows, page)
    report_refused(rows, page)
    report_cache(rows, page)
    report_revocations(data["revocations"], page)
