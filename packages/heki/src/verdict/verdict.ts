import type { Colours } from '../colours.ts';
import { exitCodeOf, type Finding, makesFail, type Strictness } from './finding.ts';
import type { Refusal } from './refusal.ts';

/** What a command makes of a machine with Heki, in the end. */
export interface Verdict extends Strictness {
  readonly findings: readonly Finding[];
  /** Heki is in force: it was asked to protect the kernel's memory, and the hypervisor took all of it. */
  readonly inForce: boolean;
  readonly refusal: Refusal | undefined;
}

/** The verdict as the key `verdict` of every JSON object that has one. */
export function verdictJson({ findings, inForce, refusal, ...strictness }: Verdict) {
  return {
    exitCode: exitCodeOf(findings, strictness),
    strict: strictness.strict,
    inForce,
    refusal: refusal ?? null,
    findings: findings.map((finding) => ({ ...finding, fails: makesFail(finding, strictness) })),
  };
}

/** The findings as lines for people. */
export function verdictLines({ findings, ...strictness }: Verdict, { red, yellow, bold }: Colours): string[] {
  const tolerated = findings.filter((finding) => !makesFail(finding, strictness));
  return [
    ...findings
      .filter((finding) => makesFail(finding, strictness))
      .map(({ message }) => red(bold(`FAILS: ${message}.`))),
    ...tolerated.map(({ message }) => yellow(`defect: ${message}.`)),
    ...(tolerated.length === 0
      ? []
      : [yellow('rfc-v2 is there to show its defects: they make the command fail only with --strict.')]),
  ];
}
