import {
  ATTACKS,
  type Attack,
  type AttackClaim,
  type AttackVerdict,
  isAttackName,
  MachineError,
} from '@heki/machine';
import { PROFILES } from '@heki/series';
import { InputError, thrownText } from '../failure.ts';
import { printable } from '../printable.ts';
import { fieldsOf, importModule, kindOf, placeIn } from './import-module.ts';
import { inModule } from './module-call.ts';

/** Gives the attacks in the ES module at a path: its default export, an attack or an array of them. */
export type AttackLoader = (path: string) => Promise<readonly Attack[]>;

/**
 * A loader that knows what it has loaded: a module is loaded once, and no two attacks have one name.
 *
 * It throws an {@link InputError} when a module cannot be loaded, or exports something else. So do the attacks that it gives, when their
 * code throws or gives something else than a verdict.
 */
export function createAttackLoader(): AttackLoader {
  const modules = new Map<string, readonly Attack[]>();
  const owners = new Map<string, string>(ATTACKS.map(({ name }) => [name, 'heki']));
  return async (path) => {
    const known = modules.get(path);
    if (known !== undefined) return known;
    const { default: exported } = await importModule(path);
    const list: readonly unknown[] = Array.isArray(exported) ? exported : [exported];
    if (list.length === 0)
      throw new InputError(`its default export is an empty array, expected attacks`, { file: path });
    const attacks = list.map((value, index) =>
      attackOf(value, path, Array.isArray(exported) ? `default export, attack ${index}` : 'default export'),
    );
    for (const { name } of attacks) {
      const owner = owners.get(name);
      if (owner !== undefined)
        throw new InputError(
          `attack ${name}: expected another name, for ${owner} has an attack of this one`,
          { file: path },
        );
      owners.set(name, printable(path));
    }
    modules.set(path, attacks);
    return attacks;
  };
}

/** The attacks in all of `paths`, as a loader of its own gives them. */
export async function loadAttacks(
  paths: readonly string[] = [],
  load: AttackLoader = createAttackLoader(),
): Promise<readonly Attack[]> {
  const attacks: Attack[] = [];
  // Code of one module runs before that of the next.
  for (const path of new Set(paths)) attacks.push(...(await load(path)));
  return attacks;
}

/** @throws {InputError} when `value` is not an attack */
function attackOf(value: unknown, path: string, where: string): Attack {
  const fault = (field: string, found: unknown, expected: string): InputError =>
    new InputError(`${where}${field} is ${kindOf(found)}, expected ${expected}`, { file: path });
  const fields = fieldsOf(value);
  if (fields === undefined)
    throw fault('', value, 'an attack: { name, title, meaning, run }, or an array of them');
  const { name, title, meaning, run, legitimate, claim, part, needsHekiKernel } = fields;
  if (typeof name !== 'string' || !isAttackName(name)) {
    const found = typeof name === 'string' ? JSON.stringify(name.slice(0, 80)) : kindOf(name);
    throw new InputError(
      `${where}.name is ${found}, expected small letters, digits and hyphens: store-text`,
      { file: path },
    );
  }
  const text = (field: string, found: unknown): string => {
    if (typeof found === 'string' && found.length > 0 && found.length <= 200) return printable(found);
    throw fault(field, found, 'a text of 1 to 200 characters');
  };
  if (typeof run !== 'function') throw fault('.run', run, 'a function: (attacker, targets) => verdict');
  for (const [field, flag] of Object.entries({ legitimate, needsHekiKernel })) {
    if (flag !== undefined && typeof flag !== 'boolean') throw fault(`.${field}`, flag, 'true or false');
  }
  if (part !== undefined && part !== 'text' && part !== 'data')
    throw fault('.part', part, "'text' or 'data'");
  if (claim !== undefined && !isClaim(claim)) {
    throw fault(
      '.claim',
      claim,
      "{ profiles: ['hardened'], hypervisor: (capabilities) => boolean, uses: 'write' }",
    );
  }
  return {
    name,
    title: text('.title', title),
    meaning: text('.meaning', meaning),
    legitimate: legitimate === true,
    needsHekiKernel: needsHekiKernel === true,
    part,
    claim,
    run(attacker, targets) {
      let verdict: unknown;
      try {
        verdict = inModule(path, `attack ${name}`, () => run.call(value, attacker, targets));
      } catch (error) {
        // A backend's own mistake.
        if (error instanceof InputError) throw error;
        const what =
          error instanceof MachineError ? error.message : `attack ${name} threw ${thrownText(error)}`;
        throw new InputError(what, { file: path, ...placeIn(path, error) });
      }
      return verdictOf(verdict, attacker.steps, path, name);
    },
  };
}

function isClaim(claim: unknown): claim is AttackClaim {
  const { profiles, hypervisor, uses } = fieldsOf(claim) ?? {};
  return (
    Array.isArray(profiles) &&
    profiles.every((profile) => PROFILES.includes(profile)) &&
    typeof hypervisor === 'function' &&
    (uses === undefined || uses === 'write' || uses === 'execute')
  );
}

const OUTCOMES: readonly string[] = ['succeeded', 'blocked', 'livelock', 'crashed', 'not-tried'];

/** @throws {InputError} when what an attack gave is not a verdict about what it did */
function verdictOf(value: unknown, steps: readonly unknown[], file: string, name: string): AttackVerdict {
  const { outcome, reason, target, decisive } = fieldsOf(value) ?? {};
  const fault =
    fieldsOf(value) === undefined
      ? `gave ${kindOf(value)}, expected a verdict: { outcome, target, decisive, reason }`
      : !OUTCOMES.some((known) => known === outcome)
        ? `gave an outcome that is ${kindOf(outcome)}, expected one of ${OUTCOMES.join(', ')}`
        : typeof reason !== 'string'
          ? `gave a reason that is ${kindOf(reason)}, expected a text`
          : target !== undefined && typeof target !== 'bigint'
            ? `gave a target that is ${kindOf(target)}, expected an address (a bigint), or none`
            : decisive !== undefined && !steps.includes(decisive)
              ? 'gave a decisive step that is not one of its own'
              : outcome !== 'not-tried' && steps.length === 0
                ? `says ${outcome} and did nothing: expected not-tried`
                : undefined;
  if (fault !== undefined) throw new InputError(`attack ${name} ${fault}`, { file });
  const verdict = value as AttackVerdict;
  return { ...verdict, reason: printable(verdict.reason) };
}
