/** Test files that run at once: most of a test's time is the database's and child processes'. */
export const TEST_WORKERS = 2;
