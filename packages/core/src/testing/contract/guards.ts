import { isAuditable } from "../../audit.ts";
import { isGroupable } from "../../dead-letter-groups.ts";
import { isDiagnosable } from "../../diagnosis.ts";
import { isForwardable } from "../../failure-transport/forwarding.ts";
import { isCancellable, isFindable } from "../../message-control.ts";
import { isPausable, isPurgeable } from "../../queue-control.ts";
import { isRedrivable } from "../../redrive/redrives.ts";
import { isRequestKeeping } from "../../request-keeper.ts";
import { isSchedulable } from "../../schedules/store.ts";
import { isMeasurable } from "../../store-measures.ts";
import {
  isCloseable,
  isCountable,
  isListable,
  isReapable,
  isSetUpAble,
  isSupervisable,
  isTransactional,
  isWakeable,
  type Transport,
} from "../../transport.ts";
import type { TransportCapability } from "./harness.ts";

/** How each optional part of a transport is found. */
export const guards: Readonly<Record<TransportCapability, (transport: Transport) => boolean>> = {
  countable: isCountable,
  listable: isListable,
  groupable: isGroupable,
  wakeable: isWakeable,
  setUpAble: isSetUpAble,
  closeable: isCloseable,
  transactional: isTransactional,
  reapable: isReapable,
  supervisable: isSupervisable,
  auditable: isAuditable,
  diagnosable: isDiagnosable,
  schedulable: isSchedulable,
  redrivable: isRedrivable,
  requestKeeping: isRequestKeeping,
  pausable: isPausable,
  findable: isFindable,
  cancellable: isCancellable,
  purgeable: isPurgeable,
  measurable: isMeasurable,
  forwardable: isForwardable,
};
