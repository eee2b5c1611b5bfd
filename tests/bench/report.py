"""Prints the numbers as Markdown tables, and says which targets they meet."""

import audit
import caches
import clients
import mounts
import opens


def table(head, rows):
    def line(cells):
        return "| " + " | ".join(str(cell) for cell in cells) + " |"

    print(line(head))
    print(line(["---"] + ["---:"] * (len(head) - 1)))
    for row in rows:
        print(line(row))
    print()


def number(value):
    """Three digits that mean something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def ratio(value):
    return f"{value:.2f}×" if value < 10 else f"{value:.0f}×"


def latency(row):
    return f"{number(row['p50_us'])} / {number(row['p99_us'])}"


def show(result):
    told = result["machine"]
    print(
        f"{told['cores']} cores of {told['cpu']}, {told['memory_gib']} GiB, {told['system']}, "
        f"Linux {told['kernel']}, rustc {told['rustc']}, libfuse {told['libfuse']}, "
        f"Python {told['python']}, boto3 {told['boto3']}; "
        f"medians of {result['rounds']} interleaved rounds.\n"
    )
    shown = {
        "opens": show_opens,
        "clients": show_clients,
        "roles": show_roles,
        "audit": show_audit,
        "caches": show_caches,
        "mounts": show_mounts,
        "recovery": show_recovery,
    }
    for part, show_part in shown.items():
        if part in result:
            show_part(result[part])
    show_targets(result)


def show_opens(measured):
    rows = {(row["how"], row["readers"], row["system"]): row for row in measured["rows"]}
    systems = list(dict.fromkeys(row["system"] for row in measured["rows"]))
    calls = {
        "once": "open + fstat + read + close",
        "whole": "open + fstat + read to end of file + close",
    }
    for how, title in calls.items():
        print(f"**{title}**, {measured['bytes']} bytes: p50 / p99 in µs · thousand per second · "
              "speed by p50 to the C file system\n")
        head = ["", *(f"{count} reader{'s'[: count > 1]}" for count in opens.READERS)]

        def cell(row):
            return f"{latency(row)} · {number(row['per_second'] / 1e3)}k · {ratio(row['to_c'])}"

        table(
            head,
            (
                [name, *(cell(rows[how, count, name]) for count in opens.READERS)]
                for name in systems
            ),
        )


def show_clients(measured):
    print("**A fresh boto3 session**: from nothing to usable keys, and the part of it that comes "
          "after `Session()`, which reads no file\n")
    head = ["", "p50, ms", "p99, ms", "to plain file", "keys alone, ms", "to plain file"]
    table(
        head,
        (
            [
                row["way"],
                f"{row['total']['p50_ms']:.2f}",
                f"{row['total']['p99_ms']:.2f}",
                f"{row['total']['ratio_to_plain']:.2f}×",
                f"{row['after_session']['p50_ms']:.2f}",
                f"{row['after_session']['ratio_to_plain']:.2f}×",
            ]
            for row in measured
        ),
    )


def show_roles(measured):
    print("**Many roles in one `credentials` file**, one reader\n")
    head = ["roles", "bytes", "render, µs", "open + close, µs", "whole file, µs", "RSS, MB"]
    table(
        head,
        (
            [
                row["roles"],
                f"{row['bytes']:,}",
                number(row["render_p50_us"]),
                latency(row["open"]),
                latency(row["whole"]),
                f"{row['rss_mb']:.1f}",
            ]
            for row in measured
        ),
    )


def show_audit(measured):
    rows = {(row["readers"], row["system"]): row for row in measured["rows"]}
    systems = list(dict.fromkeys(row["system"] for row in measured["rows"]))
    print("**Knowing who opens**, open + close of `credentials`: p50 / p99 in µs · thousand per "
          f"second · time by p50 to {audit.WITHOUT}\n")
    show_costs([([name], [rows[count, name] for count in audit.READERS]) for name in systems],
               [""], audit.READERS)
    proof = measured["proof"]
    print(f"{audit.CROWD} readers that opened {audit.OPENS_EACH:,} times each, and once before: "
          f"{proof['opens']:,} opens and {proof['records']:,} records in "
          f"{proof['seconds']:.1f} s\n")


def show_caches(measured):
    rows = {(row["user"], row["system"], row["readers"]): row for row in measured}
    mounted = list(dict.fromkeys((row["user"], row["system"]) for row in measured))
    print("**Writable directories**, open + fstat + read + close of `credentials`: p50 / p99 in µs "
          f"· thousand per second · time by p50 to {caches.WITHOUT}\n")
    show_costs([(each, [rows[*each, count] for count in caches.READERS]) for each in mounted],
               ["mounted by", ""], caches.READERS)


def show_mounts(measured):
    print("**Many mounts of one daemon**, each with a session of its own; open + fstat + read + "
          "close in one of them\n")
    rows = [
        ([row["mounts"], f"{row['start_ms']:,.0f}", f"{row['rss_mb']:.1f}"], row["opens"])
        for row in measured
    ]
    show_costs(rows, ["mounts", "start, ms", "RSS, MB"], mounts.READERS)


def show_recovery(measured):
    print(f"**A daemon that is killed**, {measured['kills']} times: from SIGKILL to the first answered "
          "open, beside a start from nothing\n")
    head = ["p50 / p99, ms", "start, p50, ms", "to a start", "RSS of the supervisor, MB"]
    table(
        head,
        [
            [
                f"{measured['p50_ms']:.0f} / {measured['p99_ms']:.0f}",
                f"{measured['start_ms']:.0f}",
                ratio(measured["to_start"]),
                f"{measured['supervisor_rss_mb']:.1f}",
            ]
        ],
    )


def show_costs(rows, head, crowds):
    """Rows of first cells and of measurements by the number of readers."""

    def cell(row):
        return f"{latency(row)} · {number(row['per_second'] / 1e3)}k · {ratio(row['cost'])}"

    head = [*head, *(f"{count} reader{'s'[: count > 1]}" for count in crowds)]
    table(head, ([*first, *map(cell, measured)] for first, measured in rows))


def show_targets(result):
    """Each target with what was measured. A reader judges; a noisy machine fails nothing."""
    targets = []
    if "opens" in result:
        for count in (1, 8):
            to_c = next(
                row["to_c"]
                for row in result["opens"]["rows"]
                if (row["how"], row["readers"], row["system"]) == ("once", count, "credmount")
            )
            targets.append((f"speed at {count} reader{'s'[: count > 1]}, to C: {to_c:.2f}× (≥ 1)", to_c >= 1))
    if "clients" in result:
        mount = next(row for row in result["clients"] if row["way"] == clients.MOUNT)
        boto3 = mount["total"]["ratio_to_plain"]
        targets.append((f"boto3, to plain file: {boto3:.2f}× (≤ 1.25)", boto3 <= 1.25))
    if "roles" in result:
        ten = next(row["rss_mb"] for row in result["roles"] if row["roles"] == 10)
        targets.append((f"RSS with 10 roles: {ten:.1f} MB (< 30)", ten < 30))
    # Where they cost nothing they are there by default.
    for row in result.get("caches", []):
        if (row["user"], row["system"], row["readers"]) == ("root", caches.WITH, 1):
            cost = row["cost"]
            targets.append((f"writable directories: {cost:.2f}× (≤ 1.05)", cost <= 1.05))
    for text, met in targets:
        print(f"- {'met' if met else 'MISSED'}: {text}")
