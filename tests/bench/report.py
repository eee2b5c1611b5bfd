"""Prints the numbers as Markdown tables, and says which targets they meet."""

import clients
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
    show_opens(result["opens"])
    show_clients(result["clients"])
    show_roles(result["roles"])
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


def show_targets(result):
    """Each target with what was measured. A reader judges; a noisy machine fails nothing."""
    rows = result["opens"]["rows"]

    def speed(count):
        return next(
            row["to_c"]
            for row in rows
            if (row["how"], row["readers"], row["system"]) == ("once", count, "credmount")
        )

    mount = next(row for row in result["clients"] if row["way"] == clients.MOUNT)
    boto3 = mount["total"]["ratio_to_plain"]
    ten = next(row for row in result["roles"] if row["roles"] == 10)
    targets = [
        (f"speed at 1 reader, to C: {speed(1):.2f}× (≥ 1)", speed(1) >= 1),
        (f"speed at 8 readers, to C: {speed(8):.2f}× (≥ 1)", speed(8) >= 1),
        (f"boto3, to plain file: {boto3:.2f}× (≤ 1.25)", boto3 <= 1.25),
        (f"RSS with 10 roles: {ten['rss_mb']:.1f} MB (< 30)", ten["rss_mb"] < 30),
    ]
    for text, met in targets:
        print(f"- {'met' if met else 'MISSED'}: {text}")
