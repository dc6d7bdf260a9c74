PREFIX ?= /usr/local
DESTDIR ?=
PROGRAMS = heka-tail heka-listen heka-inject heka-decode heka-sandbox heka-match heka-cef heka-cat heka-hec heka-firehose \
	heka-http heka-lua heka-sbmgr heka-sbmgrload

.PHONY: build demo test install bench bench-save bench-peers fuzz docs

build:
	cargo build --release

demo:
	sh examples/demo.sh

test:
	sh tests/run.sh

bench:
	cargo bench --bench hot_paths
	python3 benches/baseline.py
	bash benches/ratios.sh
	bash benches/lpeg.sh
	bash benches/filters.sh
	bash benches/manage.sh
	bash benches/logstreams.sh
	bash benches/hec.sh
	bash benches/firehose.sh
	bash benches/listen.sh
	bash benches/resync.sh
	bash benches/attacks.sh

# Makes what was measured last the baseline.
bench-save:
	cargo bench --bench hot_paths
	python3 benches/baseline.py save

# Side by side with what one would take instead; needs some of them installed.
bench-peers:
	bash benches/peers.sh

# An hour and twenty minutes; needs cargo-fuzz and a nightly toolchain.
fuzz:
	set -e; for target in frames lpeg state cjson cef syslog gelf proxy; do \
		cargo +nightly fuzz run $$target -- -max_total_time=600 -max_len=400 -timeout=10 -rss_limit_mb=8000; \
	done

# Man pages and completions, from the argument definitions; the table of answers, from the code.
docs: build
	mkdir -p man completions
	set -e; for program in $(PROGRAMS); do \
		target/release/$$program --generate man > man/$$program.1; \
		target/release/$$program --generate bash > completions/$$program.bash; \
		target/release/$$program --generate zsh > completions/_$$program; \
		target/release/$$program --generate fish > completions/$$program.fish; \
	done
	HEKA_WRITE_DOCS=1 cargo test --test answers the_guide_has_the_table

install: build
	set -e; for program in $(PROGRAMS); do \
		install -Dm755 target/release/$$program $(DESTDIR)$(PREFIX)/bin/$$program; \
		install -Dm644 man/$$program.1 $(DESTDIR)$(PREFIX)/share/man/man1/$$program.1; \
		install -Dm644 completions/$$program.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/$$program; \
		install -Dm644 completions/_$$program $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_$$program; \
		install -Dm644 completions/$$program.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/$$program.fish; \
	done
