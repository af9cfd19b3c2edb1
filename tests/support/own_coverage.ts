// Loaded before the tests, by `deno task test`: the programs that they start don't collect coverage. It would slow some of
// them down by more than ten times, and change the memory that they measure.
Deno.env.delete("DENO_COVERAGE_DIR");
