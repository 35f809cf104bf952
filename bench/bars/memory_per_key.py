#!/usr/bin/env python3
"""Bar 3: resident bytes per key over the key's and the value's own bytes.

(RSS with N keys - RSS of the empty server) / N - (mean key length + value length), for keys key:0 … key:N-1 and
values of 8 and 64 bytes that are no numbers (numbers are smaller in every server). A fresh server for each.
"""

import bars


def main():
    parser = bars.arguments(__doc__, "redis7,redis8,valkey9,pinyon")
    parser.add_argument("--keys", type=int, default=5_000_000)
    parser.add_argument("--sizes", default="8,64")
    parser.add_argument("--shards", type=int, default=1, help="of pinyon (1)")
    options = parser.parse_args()
    bars.pin_load()

    key_bytes = sum((last - first) * len(f"key:{first}") for first, last, _ in bars.set_formats(options.keys, b"")) / options.keys
    rows = []
    for name in bars.names(options):
        for size in map(int, options.sizes.split(",")):
            with bars.Server(name, shards=options.shards) as server:
                empty = server.settled_rss(0.5)
                seconds = bars.load(server.port, options.keys, b"v" * size)
                full = server.settled_rss()
                with bars.Connection(server.port) as c:
                    count = c.call("DBSIZE")
                if count != options.keys:
                    bars.die(f"{name} holds {count:,} keys, not {options.keys:,}")
                per_key = (full - empty) / options.keys
                rows.append([name, size, f"{empty / 2**20:.1f}", f"{full / 2**20:.1f}", f"{per_key:.1f}", f"{per_key - key_bytes - size:.1f}",
                             f"{options.keys / seconds / 1000:,.0f}"])
                bars.note(f"{name}, {size} bytes: {per_key - key_bytes - size:.1f} over")

    print(f"{options.keys:,} keys key:N (mean {key_bytes:.2f} bytes); {bars.machine()}\n")
    bars.table(["server", "value bytes", "empty MiB", "full MiB", "bytes/key", "overhead", "loaded kops/s"], rows)


if __name__ == "__main__":
    main()
