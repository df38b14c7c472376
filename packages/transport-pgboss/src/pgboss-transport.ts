import type {
  Auditable,
  Cancellable,
  Closeable,
  Countable,
  Diagnosable,
  Findable,
  Forwardable,
  Groupable,
  Listable,
  Pausable,
  Purgeable,
  Reapable,
  Redrivable,
  RequestKeeping,
  Schedulable,
  SetUpAble,
  Supervisable,
  Transactional,
  Transport,
  Wakeable,
} from "@symphony/core";

/** Everything a pg-boss transport can do. */
export type PgBossTransport = Transport &
  Countable &
  Listable &
  Groupable &
  Wakeable &
  SetUpAble &
  Closeable &
  Transactional &
  Reapable &
  Supervisable &
  Redrivable &
  RequestKeeping &
  Forwardable &
  Schedulable &
  Auditable &
  Pausable &
  Findable &
  Cancellable &
  Purgeable &
  Diagnosable;
