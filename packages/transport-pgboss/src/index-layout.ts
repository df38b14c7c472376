/** An index of a queue's table beside those of pg-boss. */
export interface IndexLayout {
  /** Goes after the table's name, which has 57 of the 63 characters that PostgreSQL allows. */
  readonly suffix: string;
  readonly on: string;
  readonly isUnique?: true;
}
