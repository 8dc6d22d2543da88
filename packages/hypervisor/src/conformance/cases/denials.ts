import type { Vcpu } from '@heki/vcpu';
import { formatRights, type Rights } from '../../rights.ts';
import { type ControlBit, guestWith, nameOf, optionalBit, pinBit } from '../control-bit.ts';
import {
  ATTEMPTS,
  allows,
  FETCH,
  LOAD,
  requireCarriedOut,
  requireReported,
  STORE,
  TRIED_FRAME,
  type Tried,
  triedRegister,
  tryAccess,
  unseen,
} from '../denied-attempt.ts';
import { createKitGuest, type DeniedEvent, type KitGuest, rangeOf, rightsOf } from '../kit-guest.ts';
import { type ConformanceCase, type ConformanceSetup, require } from '../setup.ts';

const NOTHING = rightsOf('');
const KINDS = [NOTHING, ...['r', 'ru', 'rx', 'rw', 'rwxu'].map(rightsOf)];
/** Often enough that a rule that changes shows. */
const REPEATS = 4;

/** Every denial is one event that tells the truth, and what it says is what the guest meets. */
export function denialCases(setup: ConformanceSetup): readonly ConformanceCase[] {
  const { capabilities } = setup.hypervisor;
  const cases: ConformanceCase[] = [];
  const add = (name: string, run: () => void): void => {
    cases.push({ area: 'denials', name, run });
  };
  for (const rights of KINDS) {
    add(
      `each access that ${formatRights(rights)} denies is one event, and its verdict is carried out; no other is`,
      () => {
        const guest = createKitGuest(setup, 2);
        guest.protect([rangeOf(TRIED_FRAME, TRIED_FRAME + 1, rights)]);
        for (const vcpu of guest.vcpus) everyAttempt(setup, guest, vcpu);
      },
    );
  }
  if (capabilities.denialsDecidedBy === 'hypervisor') {
    add('the verdict is a fixed rule, as declared: the same is answered with the same', () => fixed(setup));
    add('every declared verdict is the answer to something', () => {
      const events = [LOAD, STORE, FETCH].flatMap((attempt) => memoryDenials(setup, attempt));
      const missing = unseen(capabilities.verdicts, [...events, ...registerDenials(setup)]);
      require(missing.length === 0, `nothing is answered with ${missing.join(', ')}`);
    });
  }
  if (setup.deciding === undefined || capabilities.denialsDecidedBy === 'hypervisor') return cases;
  if (capabilities.verdicts.length > 1) {
    add('whoever decides makes a difference: the same is answered with what each of them wants', () => {
      const verdicts = capabilities.verdicts.flatMap((verdict) => {
        const hypervisor = setup.deciding?.(verdict) ?? setup.hypervisor;
        return memoryDenials({ ...setup, hypervisor }, STORE).map((event) => event.verdict);
      });
      require(new Set(verdicts).size > 1, `all of them are answered with ${verdicts[0]}`);
    });
  }
  for (const verdict of capabilities.verdicts) {
    add(`whoever decides can answer with ${verdict}, as declared, and it is carried out`, () => {
      const hypervisor = setup.deciding?.(verdict) ?? setup.hypervisor;
      const decided = { ...setup, hypervisor };
      const events = [LOAD, STORE, FETCH].flatMap((attempt) => memoryDenials(decided, attempt));
      const missing = unseen([verdict], [...events, ...registerDenials(decided)]);
      require(missing.length === 0, 'nothing is answered with it');
    });
  }
  return cases;
}

function everyAttempt(setup: ConformanceSetup, guest: KitGuest, vcpu: Vcpu): void {
  const granted = guest.model.of(TRIED_FRAME);
  for (const attempt of ATTEMPTS) {
    // The read of a locked update may be what is denied.
    if (attempt.what === 'a locked update' && !granted.read) continue;
    const tried = tryAccess(guest, vcpu, attempt);
    if (allows(granted, attempt.access)) {
      require(tried.denials.length === 0 && tried.effect, `${attempt.what} is allowed, and was denied`);
      continue;
    }
    const event = requireReported(tried, vcpu);
    require(setup.hypervisor.capabilities.verdicts.includes(
      event.verdict,
    ), `verdict ${event.verdict} is not declared`);
    requireCarriedOut(event, tried);
  }
}

function fixed(setup: ConformanceSetup): void {
  const all = [
    ...[LOAD, STORE, FETCH].map((attempt) =>
      Array.from({ length: REPEATS }, () => memoryDenials(setup, attempt)).flat(),
    ),
    Array.from({ length: REPEATS }, () => registerDenials(setup)).flat(),
  ];
  const guest = denyingGuest(setup);
  const [vcpu] = guest.vcpus;
  require(vcpu !== undefined, 'a guest without a virtual CPU');
  all.push(Array.from({ length: REPEATS }, () => tryAccess(guest, vcpu, STORE).denials).flat());
  for (const events of all) {
    const verdicts = new Set(events.map(({ verdict }) => verdict));
    require(verdicts.size <= 1, `the same was answered with ${[...verdicts].join(' and with ')}`);
  }
}

function denyingGuest(setup: ConformanceSetup): KitGuest {
  const guest = createKitGuest(setup);
  const range = (rights: Rights) => [rangeOf(TRIED_FRAME, TRIED_FRAME + 1, rights)];
  // Not every backend has words for no rights at all.
  if (!guest.protect(range(NOTHING))) guest.protect(range(rightsOf('ru')));
  return guest;
}

/** The denial of an access to memory, if it can be denied at all, in a machine of its own: a verdict may end it. */
function memoryDenials(setup: ConformanceSetup, attempt: typeof LOAD): readonly DeniedEvent[] {
  const guest = denyingGuest(setup);
  const [vcpu] = guest.vcpus;
  if (vcpu === undefined || allows(guest.model.of(TRIED_FRAME), attempt.access)) return [];
  const tried = tryAccess(guest, vcpu, attempt);
  const event = requireReported(tried, vcpu);
  requireCarriedOut(event, tried);
  return [event];
}

/** The same for a pinned bit, if there is any. */
function registerDenials(setup: ConformanceSetup): readonly DeniedEvent[] {
  const each = optionalBit(setup);
  return each === undefined ? [] : [registerDenial(setup, each)];
}

function registerDenial(setup: ConformanceSetup, each: ControlBit): DeniedEvent {
  const guest = guestWith(setup, each);
  const [vcpu] = guest.vcpus;
  require(vcpu !== undefined, 'a guest without a virtual CPU');
  pinBit(guest, each);
  const name = nameOf(each);
  const tried: Tried = triedRegister(
    guest,
    () => vcpu.movToCr(each.register, vcpu.registers[name] & ~each.bit),
    () => (vcpu.registers[name] & each.bit) === 0n,
  );
  const [event] = tried.denials;
  require(event !== undefined &&
    tried.denials.length === 1, `a refused register write gives ${tried.denials.length} events`);
  requireCarriedOut(event, tried);
  return event;
}
