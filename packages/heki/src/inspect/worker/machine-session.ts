import { ATTACK_MACHINES, CATALOGUE, type LabAttack } from '@heki/attacks';
import type {
  AttackStory,
  Choices,
  FrameCard,
  LifeQuery,
  Moment,
  MomentQuery,
  PageBytes,
  Timeline,
  WalkAnswer,
  WalkQuery,
} from '@heki/inspector';
import type { Gfn, VirtualAddress } from '@heki/physical-memory';
import { UsageError } from '../../failure.ts';
import type { KernelOfDump } from './dump-session.ts';
import { attackLife } from './life/attack-life.ts';
import { attackStory } from './life/attack-story.ts';
import { choiceOf } from './life/choice.ts';
import { frameCard } from './life/frame-card.ts';
import { kernelLife, scenarioLife } from './life/kernel-life.ts';
import type { Life } from './life/life.ts';
import { momentOf } from './life/moment.ts';
import { lookAt, timelineOf } from './life/play.ts';
import { snapshotLife } from './life/snapshot-life.ts';
import { walkAt as walkOn } from './life/walk-at.ts';
import type { WatchedMachine } from './life/watched-machine.ts';
import { pageBytes } from './page-bytes.ts';

/** Room for the kernel and what boot allocates. */
const MEMORY = '64MiB';
/** Moments that are kept: going back and forth, one meets the same ones. */
const MOST_MOMENTS = 64;

const moments = new Map<string, Moment>();
/** The dump that they are of, where they are of one: two may have one name. */
let dumpOfMoments: KernelOfDump | undefined;

export function choices(): Choices {
  return {
    machines: ATTACK_MACHINES.map(choiceOf),
    attacks: CATALOGUE.map(({ name, title, gains, source }) => ({ name, title, gains, source })),
  };
}

/** The machine of a name. @throws {UsageError} when there is none */
function machineNamed(name: string): (typeof ATTACK_MACHINES)[number] {
  const machine = ATTACK_MACHINES.find((one) => one.name === name);
  if (machine !== undefined) return machine;
  throw new UsageError(
    `machine ${name}: expected one of ${ATTACK_MACHINES.map((one) => one.name).join(', ')}`,
  );
}

/** The attack of a name. @throws {UsageError} when there is none */
function attackNamed(name: string): LabAttack {
  const attack = CATALOGUE.find((one) => one.name === name);
  if (attack !== undefined) return attack;
  throw new UsageError(`there is no attack ${name}: heki attack --list names them`);
}

/** @param dump the kernel of the dump that is open */
async function lifeOf(
  { machine: name, kernel, scenario, attack: attackName }: LifeQuery,
  dump: KernelOfDump | undefined,
): Promise<Life> {
  if (scenario !== null) return scenarioLife(scenario);
  const machine = machineNamed(name);
  if (attackName !== null) return attackLife(attackNamed(attackName), machine);
  if (kernel === 'modelled') {
    return kernelLife(choiceOf(machine), { machine: { memory: MEMORY, ...machine.machine }, steps: [] });
  }
  if (dump === undefined) throw new UsageError('the kernel of a dump is asked for, and none is open');
  return snapshotLife(choiceOf(machine), machine.machine, dump);
}

export async function timeline(query: LifeQuery, dump?: KernelOfDump): Promise<Timeline> {
  return timelineOf(await lifeOf(query, dump));
}

export async function moment({ life, at }: MomentQuery, since: number, dump?: KernelOfDump): Promise<Moment> {
  if (dump !== dumpOfMoments) moments.clear();
  dumpOfMoments = dump;
  const key = JSON.stringify([life, at, since]);
  const known = moments.get(key);
  if (known !== undefined) return known;
  const found = momentOf(await lifeOf(life, dump), at, since);
  const oldest = moments.keys().next().value;
  if (moments.size >= MOST_MOMENTS && oldest !== undefined) moments.delete(oldest);
  moments.set(key, found);
  return found;
}

/** What `look` finds on the machine at a moment, which is not used behind it. */
async function at<Found>(
  { life, at: event }: MomentQuery,
  dump: KernelOfDump | undefined,
  look: (machine: WatchedMachine) => Found,
): Promise<Found> {
  const [found] = lookAt(await lifeOf(life, dump), [event], (machine) => ({ is: look(machine) }));
  if (found === undefined) throw new RangeError(`no moment at event ${event}`);
  return found.is;
}

export function frameAt(query: MomentQuery, frame: number, dump?: KernelOfDump): Promise<FrameCard> {
  return at(query, dump, (machine) => frameCard(machine, frame));
}

export async function bytesAt(
  query: MomentQuery,
  frame: number,
  address: VirtualAddress | undefined,
  dump?: KernelOfDump,
): Promise<PageBytes> {
  const page = await at(query, dump, ({ memory }) => {
    const now = memory.page(frame as Gfn);
    return now === undefined ? undefined : Uint32Array.from(now);
  });
  return pageBytes(page, frame, address, undefined);
}

export function walkAt(query: MomentQuery, walk: WalkQuery, dump?: KernelOfDump): Promise<WalkAnswer> {
  const where = `${query.life.machine}, right after event ${query.at}`;
  return at(query, dump, (machine) => walkOn(machine, walk, where));
}

/** @throws {UsageError} for an attack or a machine that there is none of */
export function attack(name: string, machine: string): AttackStory {
  return attackStory(attackLife(attackNamed(name), machineNamed(machine)));
}
