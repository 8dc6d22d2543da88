import { setTimeout as delay } from 'node:timers/promises';
import type { Audit } from '@heki/audit';
import { isLiveGuest } from '@heki/vmcore/node';
import { auditSubject, auditWarnings } from '../audit/report.ts';
import { type Alarm, type Judged, judge, newAlarms } from '../audit/watch-alarms.ts';
import { ExitCode } from '../failure.ts';
import { failureOf } from '../file-error.ts';
import type { CommandIo } from '../io.ts';
import { openSubject } from '../protect/open-subject.ts';
import type { SubjectOptions } from '../protect/subject.ts';
import { count } from '../quantity.ts';
import { reportHeader } from '../report/report-header.ts';
import { screenOf } from '../report/screen.ts';
import { type Warning, warningsJson } from '../warning.ts';

/** Options of `heki watch`. */
export interface WatchOptions {
  /** Milliseconds. Default 1000. */
  readonly every?: number;
  readonly untilFinding?: boolean;
  readonly json?: boolean;
}

/** Moments in a row that cannot be read: then it is not by chance. */
const MOST_FAILURES = 3;

/** What `heki watch --json` prints, one a line. */
type WatchEvent =
  | {
      readonly event: 'start';
      readonly findings: number;
      readonly everyMs: number;
      readonly warnings: ReturnType<typeof warningsJson>;
    }
  | {
      readonly event: 'alarm';
      readonly kind: 'sealed' | 'finding';
      readonly id: string;
      readonly text: string;
    }
  | { readonly event: 'over'; readonly id: string; readonly text: string }
  | { readonly event: 'reboot' }
  | { readonly event: 'unreadable'; readonly text: string }
  | { readonly event: 'end'; readonly moments: number; readonly alarms: number };

/**
 * Compares the kernel at `source` again and again with what it was at first. What comes and goes within a period is not seen. The exit code: 1
 * when there was an alarm.
 *
 * @throws what reading throws when the first moment, or three in a row, cannot be read
 */
export async function watch(source: string, options: WatchOptions, io: CommandIo): Promise<number> {
  const { every = 1000, untilFinding = false, json = false } = options;
  const interrupted = io.interrupt?.() ?? new AbortController().signal;
  const { colours } = screenOf(io.stdout, io.env);
  const tell = async (event: WatchEvent): Promise<void> => {
    const time = new Date().toISOString();
    const line = json
      ? JSON.stringify({ ...reportHeader('watch'), time, ...event })
      : `${time} ${textOf(event)}`;
    await io.stdout.write(`${event.event === 'alarm' && !json ? colours.red(line) : line}\n`);
  };

  const beginning = await look(source);
  let first = beginning.audit;
  let standing = new Map<string, Alarm>();
  let alarms = 0;
  let moments = 1;
  let failures = 0;
  const raise = async (now: ReadonlyMap<string, Alarm>): Promise<void> => {
    for (const [id, { text }] of newAlarms(standing, now)) {
      alarms++;
      await tell({ event: 'alarm', kind: id.startsWith('heki/') ? 'finding' : 'sealed', id, text });
    }
    for (const [id, { text }] of standing) if (!now.has(id)) await tell({ event: 'over', id, text });
    standing = new Map(now);
  };

  await tell({
    event: 'start',
    findings: first.findings.length,
    everyMs: every,
    warnings: warningsJson(beginning.warnings),
  });
  await raise(judge(first, first).alarms);
  let due = performance.now() + every;
  while (!(untilFinding && alarms > 0) && (await passes(due - performance.now(), interrupted))) {
    // Looking takes a part of the period, and does not lengthen it.
    due = Math.max(due, performance.now()) + every;
    let judged: Judged;
    try {
      judged = await lookQuickly(source, first, standing);
      failures = 0;
    } catch (error) {
      const { kind, message } = failureOf(error);
      if (kind !== 'input' || ++failures === MOST_FAILURES) throw error;
      await tell({ event: 'unreadable', text: message });
      continue;
    }
    moments++;
    if (!judged.sameBoot) {
      await tell({ event: 'reboot' });
      first = judged.now;
      standing = new Map();
    }
    await raise(judged.alarms);
  }
  await tell({ event: 'end', moments, alarms });
  return alarms > 0 ? ExitCode.FAILURE : ExitCode.SUCCESS;
}

/**
 * The moment of a guest that goes on while it is looked at, unless there is news in it, or it cannot be read: tables that changed meanwhile may tell
 * what never was. Then it is made to stand.
 */
async function lookQuickly(
  source: string,
  first: Audit,
  standing: ReadonlyMap<string, Alarm>,
): Promise<Judged> {
  if (isLiveGuest(source)) {
    try {
      const quick = judge(first, (await look(source, { whileItRuns: true })).audit);
      if (!isNews(quick, standing)) return quick;
    } catch (error) {
      if (failureOf(error).kind !== 'input') throw error;
    }
  }
  return judge(first, (await look(source)).audit);
}

/** Whether there is something to tell beside what stands. */
function isNews({ sameBoot, alarms }: Judged, standing: ReadonlyMap<string, Alarm>): boolean {
  const isOver = (id: string): boolean => !alarms.has(id);
  return !sameBoot || newAlarms(standing, alarms).length > 0 || [...standing.keys()].some(isOver);
}

async function look(
  source: string,
  options: SubjectOptions = {},
): Promise<{ readonly audit: Audit; readonly warnings: readonly Warning[] }> {
  const subject = await openSubject(source, options);
  try {
    return { audit: auditSubject(subject), warnings: auditWarnings(subject, false) };
  } finally {
    subject.core.close();
  }
}

function textOf(event: WatchEvent): string {
  switch (event.event) {
    case 'start':
      return [
        `watching, every ${event.everyMs} ms; ${count(event.findings, 'finding')} at first`,
        ...event.warnings.map(({ message }) => `  warning: ${message}`),
      ].join('\n');
    case 'alarm':
      return `ALARM ${event.text}`;
    case 'over':
      return `over: ${event.text}`;
    case 'reboot':
      return 'the kernel has been booted again: what it is now counts from here';
    case 'unreadable':
      return `cannot be read: ${event.text}`;
    case 'end':
      return `${count(event.moments, 'moment')} looked at, ${count(event.alarms, 'alarm')}`;
  }
}

/** Waits; `false` when it was interrupted. */
async function passes(milliseconds: number, interrupted: AbortSignal): Promise<boolean> {
  try {
    await delay(Math.max(0, milliseconds), undefined, { signal: interrupted });
    return true;
  } catch (error) {
    if (interrupted.aborted) return false;
    throw error;
  }
}
