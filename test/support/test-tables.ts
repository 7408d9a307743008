/** Names of the tables that this test file made, and that are not deleted yet. */
export const testTables: string[] = [];
