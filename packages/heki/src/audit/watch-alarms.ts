import { type Audit, compareKernels, isAtLeast, type SealedChange, sealedChanges } from '@heki/audit';
import { hex } from '@heki/physical-memory';

/** Something that is wrong. */
export interface Alarm {
  readonly text: string;
  /** What grows from one moment to the next is an alarm again. At least 1. */
  readonly size: number;
}

/** A moment, beside the first one. */
export interface Judged {
  readonly now: Audit;
  readonly sameBoot: boolean;
  /** What is wrong, by ids that stay the same as long as it lasts. */
  readonly alarms: ReadonlyMap<string, Alarm>;
}

/** What is wrong at the moment `now`. Of another boot than that of `first`, nothing is compared: it is a first moment itself. */
export function judge(first: Audit, now: Audit): Judged {
  const comparison = compareKernels(first, now);
  const alarms = new Map<string, Alarm>();
  for (const change of sealedChanges(comparison, first.kernel)) {
    alarms.set(idOf(change), { text: changeText(change), size: 1 });
  }
  for (const { severity, fingerprint, summary, pages } of now.findings) {
    if (!isAtLeast(severity, 'high')) continue;
    // Outside the image only names of regions tell findings apart, and CPUs may have the same.
    const { size = 0 } = alarms.get(fingerprint) ?? {};
    alarms.set(fingerprint, { text: `${severity}: ${summary}`, size: size + 1 + pages });
  }
  return { now, sameBoot: comparison.sameBoot, alarms };
}

/** Of `now` what did not stand before, or has grown. */
export function newAlarms(
  before: ReadonlyMap<string, Alarm>,
  now: ReadonlyMap<string, Alarm>,
): [id: string, alarm: Alarm][] {
  return [...now].filter(([id, { size }]) => size > (before.get(id)?.size ?? 0));
}

function idOf({ what, start, end, after }: SealedChange): string {
  return `${what} ${hex(start)}-${hex(end - 1)} ${after}`;
}

function changeText({ what, start, end, before, after }: SealedChange): string {
  const where = `${hex(start)}-${hex(end - 1)}`;
  const of = what === 'frames' ? `guest-physical ${where}` : `the image's addresses at offset ${where}`;
  return `${of}: ${before} became ${after}`;
}
