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

/** Every attack on every machine. */
export interface Matrix {
  readonly machines: readonly (AttackMachine & { readonly mechanisms: readonly Mechanism[] })[];
  readonly rows: readonly MatrixRow[];
}

/** How a matrix is run. */
export interface MatrixOptions {
  readonly attacks: readonly LabAttack[];
  readonly machines: readonly AttackMachine[];
  readonly findBackend: FindBackend;
  /** A real kernel in the place of the one that boots. What needs a kernel that lives is *not expressible* then. */
  readonly snapshot?: SnapshotKernel | undefined;
  /**
   * Prove what stopped what did not succeed: by trying a race at every moment, and by taking out one thing after the other. It takes six times as
   * long. Default false.
   */
  readonly prove?: boolean;
  readonly onCell?: (attack: LabAttack, machine: AttackMachine) => void;
}

/**
 * Runs attacks on machines, each in a kernel of its own. Twice the same gives the same.
 *
 * @throws {NotExpressible} for a snapshot on a machine that needs a kernel of its own, or without text, rodata or data
 */
export function runMatrix({
  attacks,
  machines,
  findBackend,
  snapshot,
  prove = false,
  onCell,
}: MatrixOptions): Matrix {
  const bootOn = (specification: AttackMachine['machine'], change?: DriverChange): ReturnType<Boot> =>
    snapshot === undefined
      ? bootMachine(specification, findBackend, change)
      : bootSnapshot(specification, findBackend, snapshot, change);
  const known = machines.map((machine) => ({
    ...machine,
    mechanisms: mechanismsOf(bootOn(machine.machine).machine, machine.machine),
  }));
  const rows = attacks.map((attack): MatrixRow => {
    const claims = (mechanisms: readonly Mechanism[]): boolean =>
      attack.stoppedBy.some((mechanism) => mechanisms.includes(mechanism));
    let found: string | undefined;
    const cells = known.map((machine): [string, Cell] => {
      onCell?.(attack, machine);
      const boot: Boot = () => bootOn(machine.machine);
      const first = runAttack(attack, boot);
      const run =
        prove && attack.race !== undefined && first.verdict === 'blocked'
          ? (sweepSchedules(attack, boot) ?? first)
          : first;
      const stopped =
        run.verdict !== 'succeeds' &&
        run.verdict !== 'not expressible' &&
        run.verdict !== 'detected too late';
      const cause = prove && stopped ? findCause(attack, machine, bootOn, found) : undefined;
      found = cause ?? found;
      return [machine.name, { ...run, claimed: claims(machine.mechanisms), cause }];
    });
    const claimedBy = known.filter(({ mechanisms }) => claims(mechanisms)).map(({ name }) => name);
    return { attack, claimedBy, cells: new Map(cells) };
  });
  return { machines: known, rows };
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
