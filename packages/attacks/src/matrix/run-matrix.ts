import { findCause } from '../attack/find-cause.ts';
import type { LabAttack } from '../attack/lab-attack.ts';
import { type AttackRun, type Boot, runAttack, sweepSchedules } from '../attack/run-attack.ts';
import type { SnapshotKernel } from '../kernel/snapshot-kernel.ts';
import type { AttackMachine } from '../machines/attack-machines.ts';
import { bootMachine, type DriverChange, type FindBackend } from '../machines/boot-machine.ts';
import { bootSnapshot } from '../machines/boot-snapshot.ts';
import { type Mechanism, mechanismsOf } from '../machines/mechanisms.ts';

/** An attack on one machine. */
export interface Cell extends AttackRun {
  /** The machine says that it stops this. */
  readonly claimed: boolean;
  /**
   * What stopped it, proven by taking it out: then the attack succeeds. `undefined` when it was not asked for, when nothing stopped it, or when nothing that
   * can be taken out does.
   */
  readonly cause: string | undefined;
}

/** The outcome of an attack, by the names of machines. */
export interface MatrixRow {
  readonly attack: LabAttack;
  /** The machines that say they stop it. */
  readonly claimedBy: readonly string[];
  readonly cells: ReadonlyMap<string, Cell>;
}

/** A machine, and what it says that it has. */
export interface KnownMachine extends AttackMachine {
  readonly mechanisms: readonly Mechanism[];
}

/** Every attack on every machine. */
export interface Matrix {
  readonly machines: readonly KnownMachine[];
  readonly rows: readonly MatrixRow[];
}

/** In what kernels attacks are tried, and how far their outcomes are looked into. */
export interface AttemptOptions {
  readonly findBackend: FindBackend;
  /** A real kernel in the place of the one that boots. What needs a kernel that lives is *not expressible* then. */
  readonly snapshot?: SnapshotKernel | undefined;
  /**
   * Prove what stopped what did not succeed: by trying a race at every moment, and by taking out one thing after the other. It takes six times as
   * long. Default false.
   */
  readonly prove?: boolean;
}

/** How a matrix is run. */
export interface MatrixOptions extends AttemptOptions {
  readonly attacks: readonly LabAttack[];
  readonly machines: readonly AttackMachine[];
  readonly onCell?: (attack: LabAttack, machine: AttackMachine) => void;
}

/**
 * Runs attacks on machines, each in a kernel of its own. Twice the same gives the same, in whatever order.
 *
 * @throws {NotExpressible} for a snapshot on a machine that needs a kernel of its own, or without text, rodata or data
 */
export function runMatrix({ attacks, machines, onCell, ...options }: MatrixOptions): Matrix {
  const known = knowMachines(machines, options);
  return { machines: known, rows: attacks.map((attack) => runRow(attack, known, options, onCell)) };
}

/** Asks each machine, booted, what it has. */
export function knowMachines(machines: readonly AttackMachine[], options: AttemptOptions): KnownMachine[] {
  return machines.map((machine) => ({
    ...machine,
    mechanisms: mechanismsOf(bootOn(options, machine.machine).machine, machine.machine),
  }));
}

/** Runs one attack on each of some machines. Rows know nothing of each other: who has threads can run them side by side. */
export function runRow(
  attack: LabAttack,
  machines: readonly KnownMachine[],
  options: AttemptOptions,
  onCell?: MatrixOptions['onCell'],
): MatrixRow {
  const { prove = false } = options;
  const claims = ({ mechanisms }: KnownMachine): boolean =>
    attack.stoppedBy.some((mechanism) => mechanisms.includes(mechanism));
  let found: string | undefined;
  const cells = machines.map((machine): [string, Cell] => {
    onCell?.(attack, machine);
    const boot: Boot = () => bootOn(options, machine.machine);
    const first = runAttack(attack, boot);
    const run =
      prove && attack.race !== undefined && first.verdict === 'blocked'
        ? (sweepSchedules(attack, boot) ?? first)
        : first;
    const stopped =
      run.verdict !== 'succeeds' && run.verdict !== 'not expressible' && run.verdict !== 'detected too late';
    const cause =
      prove && stopped
        ? findCause(attack, machine, (...changed) => bootOn(options, ...changed), found)
        : undefined;
    found = cause ?? found;
    return [machine.name, { ...run, claimed: claims(machine), cause }];
  });
  return { attack, claimedBy: machines.filter(claims).map(({ name }) => name), cells: new Map(cells) };
}

function bootOn(
  { findBackend, snapshot }: AttemptOptions,
  specification: AttackMachine['machine'],
  change?: DriverChange,
): ReturnType<Boot> {
  return snapshot === undefined
    ? bootMachine(specification, findBackend, change)
    : bootSnapshot(specification, findBackend, snapshot, change);
}

/** Cells of attacks, not of work that must go on, by what was claimed and its outcome. */
export interface MatrixCounts {
  readonly cells: number;
  readonly claimed: { readonly stopped: number; readonly red: number };
  readonly unclaimed: { readonly stopped: number; readonly red: number };
  readonly notExpressible: number;
}

/** Whether a verdict is red: the attacker has what he was after. */
export const isRed = ({ verdict }: Pick<Cell, 'verdict'>): boolean =>
  verdict === 'succeeds' || verdict === 'detected too late';

/** Counts a matrix. A guest that crashed or stands still for ever is counted as stopped: the attacker has nothing. */
export function countCells({ rows }: Pick<Matrix, 'rows'>): MatrixCounts {
  const counts = {
    cells: 0,
    claimed: { stopped: 0, red: 0 },
    unclaimed: { stopped: 0, red: 0 },
    notExpressible: 0,
  };
  for (const { attack, cells } of rows) {
    if (attack.legitimate === true) continue;
    for (const cell of cells.values()) {
      counts.cells++;
      if (cell.verdict === 'not expressible') counts.notExpressible++;
      else counts[cell.claimed ? 'claimed' : 'unclaimed'][isRed(cell) ? 'red' : 'stopped']++;
    }
  }
  return counts;
}
