# The inner loop. `just` lists it; tests/all.sh is everything.

_default:
    @just --list --unsorted

# Run the tests whose names hold all of these words, or all tests
test *words:
    cargo nextest run --locked {{ words }}

# Say what the compiler and the linters say
lint:
    cargo clippy --all-targets --locked -- --deny warnings
    PATH="$PWD/target/tools/bin:$PATH" typos

# Format the code
fmt:
    cargo fmt --all

# Run everything that has to hold, as CI does
full:
    bash tests/all.sh

# Show on a project what would be compiled after a restore
try project="tests/fixtures/tour":
    cargo run --locked -- try {{ project }}

# Open the documentation of the code, where reading starts
doc:
    cargo doc --no-deps --locked --document-private-items --open
