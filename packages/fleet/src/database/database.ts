/** The SQL that the queue needs. PostgreSQL, and PGlite, which is PostgreSQL in this process. */
export interface Database extends Sql {
  /** Runs `work` in one transaction, which is taken back when it throws. */
  transaction<Value>(work: (sql: Sql) => Promise<Value>): Promise<Value>;
  close(): Promise<void>;
}

export interface Sql {
  /** Several commands are possible without `values`. */
  query(text: string, values?: readonly unknown[]): Promise<Rows>;
}

export type Rows = readonly Readonly<Record<string, unknown>>[];
