import type { Outcome, StoredResult } from '@heki/fleet';

/** What a page tells of a fleet. */
export interface FleetPicture {
  /** Of all results. */
  readonly total: number;
  /** Of the newest result of each guest. */
  readonly guests: Readonly<Record<Outcome, number>>;
  /** Results of each day, the first one first. */
  readonly days: readonly { readonly day: string; readonly outcomes: Readonly<Record<Outcome, number>> }[];
  /** How many guests have each kind of finding, the most frequent first. */
  readonly findings: readonly { readonly id: string; readonly severity: string; readonly guests: number }[];
  /** Guests that are not as most others with the same kernel. */
  readonly unlike: readonly Unlike[];
  readonly unlikeLeftOut: number;
  /** The newest results of guests that do not pass. */
  readonly bad: readonly StoredResult[];
  readonly badLeftOut: number;
  /** Guests beyond those that are looked at. */
  readonly guestsLeftOut: number;
}

/** A guest that differs from its siblings. */
export interface Unlike {
  readonly result: StoredResult;
  /** How many guests have its kernel, and how many of these have the findings that most have. */
  readonly siblings: number;
  readonly alike: number;
  /** Findings that it has, and most do not. */
  readonly more: readonly string[];
  readonly fewer: readonly string[];
}

/** Guests that are kept in memory: a million would take gigabytes. */
const MOST_GUESTS = 100_000;
const MOST_LISTED = 1000;
const MOST_DAYS = 366;
/** Of two, neither is as most are. */
const FEWEST_SIBLINGS = 3;

const none = (): Record<Outcome, number> => ({ pass: 0, fail: 0, unreadable: 0, changed: 0 });

/** @param results the oldest first */
export async function fleetPicture(results: AsyncIterable<StoredResult>): Promise<FleetPicture> {
  const newest = new Map<string, StoredResult>();
  const days = new Map<string, Record<Outcome, number>>();
  let total = 0;
  let guestsLeftOut = 0;
  for await (const result of results) {
    total++;
    const day = result.finishedAt.toISOString().slice(0, 10);
    const counts = days.get(day) ?? none();
    counts[result.outcome]++;
    days.set(day, counts);
    const { uri } = result.item.source;
    if (newest.has(uri) || newest.size < MOST_GUESTS) newest.set(uri, result);
    else guestsLeftOut++;
  }

  const guests = none();
  const kinds = new Map<string, { severity: string; guests: number }>();
  for (const { outcome, findings } of newest.values()) {
    guests[outcome]++;
    for (const [id, severity] of new Map(findings.map((one) => [one.id, one.severity]))) {
      const kind = kinds.get(id) ?? { severity, guests: 0 };
      kind.guests++;
      kinds.set(id, kind);
    }
  }
  const unlike = unlikeSiblings([...newest.values()]);
  const bad = [...newest.values()].filter(({ outcome }) => outcome !== 'pass');
  return {
    ...{ total, guests, guestsLeftOut },
    days: [...days].slice(-MOST_DAYS).map(([day, outcomes]) => ({ day, outcomes })),
    findings: [...kinds]
      .map(([id, kind]) => ({ id, ...kind }))
      .sort((a, b) => b.guests - a.guests || (a.id < b.id ? -1 : 1)),
    unlike: unlike.slice(0, MOST_LISTED),
    unlikeLeftOut: Math.max(0, unlike.length - MOST_LISTED),
    bad: bad.slice(0, MOST_LISTED),
    badLeftOut: Math.max(0, bad.length - MOST_LISTED),
  };
}

/** Guests of one kernel should have the same findings: their fingerprints name no address. */
function unlikeSiblings(results: readonly StoredResult[]): Unlike[] {
  const families = new Map<string, StoredResult[]>();
  for (const result of results) {
    if (result.kernel === undefined) continue;
    // Other options find other things.
    const family = `${result.kernel}\n${JSON.stringify(result.item.options)}\n${result.item.hekiVersion}`;
    const members = families.get(family);
    if (members === undefined) families.set(family, [result]);
    else members.push(result);
  }
  return [...families.values()].flatMap((family) =>
    family.length < FEWEST_SIBLINGS ? [] : differing(family),
  );
}

function differing(family: readonly StoredResult[]): Unlike[] {
  const signatures = family.map((result) => [...new Set(result.findings.map(nameOf))].sort());
  const counts = new Map<string, number>();
  for (const names of signatures) counts.set(names.join('\n'), (counts.get(names.join('\n')) ?? 0) + 1);
  const [usual = '', alike = 0] = [...counts].sort(([, a], [, b]) => b - a)[0] ?? [];
  // Where no half agrees, nothing is usual.
  if (alike * 2 <= family.length) return [];
  const names = new Set(usual.split('\n').filter((name) => name !== ''));
  return family.flatMap((result, index) => {
    const own = new Set(signatures[index]);
    const more = [...own].filter((name) => !names.has(name));
    const fewer = [...names].filter((name) => !own.has(name));
    return more.length + fewer.length === 0 ? [] : [{ result, siblings: family.length, alike, more, fewer }];
  });
}

/** A line, since names are joined by lines. */
function nameOf({ fingerprint }: StoredResult['findings'][number]): string {
  return fingerprint.replaceAll('\n', ' ');
}
