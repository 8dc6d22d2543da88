import { frameOf, type Gfn, type Gpa, type VirtualAddress } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import type { Capabilities } from '../capabilities.ts';
import { whenDenied, withDenials, withEvents, withMachine } from '../testing/reference/broken.ts';
import { failingCases } from '../testing/reference/failing-cases.ts';
import { referenceCalls } from '../testing/reference/reference-calls.ts';
import type { ReferenceMachine } from '../testing/reference/reference-machine.ts';
import { REFERENCE, type ReferenceSetup, referenceSetup } from '../testing/reference/reference-setup.ts';
import { rightsOf } from './kit-guest.ts';

/** An event of a backend's own that says what a defect did to the host. */
const HARM = { type: 'log' as const, text: 'a buffer is never freed', defect: 'B-H4' };

/** A backend that declares what it means to keep, and has one thing wrong. */
interface Broken {
  readonly kept?: Partial<Capabilities>;
  /** The cases that find it. */
  readonly by: RegExp;
  broken(setup: ReferenceSetup): ReferenceSetup;
}

const PER_PAGE: Partial<Capabilities> = { immutability: { kind: 'per-page', undoneBy: 'vmm' } };
const END_OF_BOOT: Partial<Capabilities> = {
  immutability: { kind: 'end-of-boot', undoneBy: 'policy-owner' },
  lifeCycle: { reset: 'keep', kexec: 'keep' },
};

const BROKEN: { readonly [what: string]: Broken } = {
  'rights come in pieces of 8 KiB': {
    by: /^requests/,
    broken: (setup) =>
      withMachine(setup, ({ protect }) => ({
        protect: (ranges) =>
          protect(
            ranges.map((range) => ({
              ...range,
              start: (range.start - (range.start % 2)) as Gfn,
              end: (range.end + (range.end % 2)) as Gfn,
            })),
          ),
      })),
  },
  'rights that are weakened are reported as those that were wanted': {
    kept: { executeSplit: 'none' },
    by: /^rights/,
    broken: (setup) =>
      withMachine(setup, ({ protect }) => ({
        protect(ranges) {
          const { weakened, ...result } = protect(ranges);
          return { ...result, weakened: weakened.map(({ range }) => ({ range, granted: range.rights })) };
        },
      })),
  },
  'rights that are weakened are not reported': {
    kept: { executeSplit: 'none' },
    by: /^rights/,
    broken: (setup) =>
      withMachine(setup, ({ protect }) => ({ protect: (ranges) => ({ ...protect(ranges), weakened: [] }) })),
  },
  'a denial is reported twice': {
    by: /^denials/,
    broken: (setup) => withDenials(setup, (event) => [event, event]),
  },
  'a denied fetch is not reported': {
    by: /^denials/,
    broken: (setup) =>
      withDenials(setup, (event) =>
        event.denial.kind === 'memory' && event.denial.access === 'supervisor-execute' ? [] : [event],
      ),
  },
  'a denied register write is not reported': {
    by: /^pins/,
    broken: (setup) => withDenials(setup, (event) => (event.denial.kind === 'register' ? [] : [event])),
  },
  'a denial names another virtual CPU': {
    by: /^denials/,
    broken: (setup) => withDenials(setup, (event) => [{ ...event, vcpu: 0 }]),
  },
  "user code's fetch is reported as the kernel's": {
    by: /^denials/,
    broken: (setup) =>
      withDenials(setup, (event) =>
        event.denial.kind === 'memory' && event.denial.access === 'user-execute'
          ? [{ ...event, denial: { ...event.denial, access: 'supervisor-execute' } }]
          : [event],
      ),
  },
  'a denial names the frame behind': {
    by: /^denials/,
    broken: (setup) =>
      withDenials(setup, (event) =>
        event.denial.kind === 'memory'
          ? [{ ...event, denial: { ...event.denial, gpa: (event.denial.gpa + 4096) as Gpa } }]
          : [event],
      ),
  },
  'a denial names another linear address': {
    by: /^denials/,
    broken: (setup) =>
      withDenials(setup, (event) =>
        event.denial.kind === 'memory'
          ? [{ ...event, denial: { ...event.denial, linear: 0n as VirtualAddress } }]
          : [event],
      ),
  },
  'a denial has the old value of a register as the new one': {
    by: /^pins/,
    broken: (setup) =>
      withDenials(setup, (event) =>
        event.denial.kind === 'register'
          ? [{ ...event, denial: { ...event.denial, value: event.denial.old } }]
          : [event],
      ),
  },
  'another verdict is reported than the guest meets': {
    by: /^denials/,
    broken: (setup) => withDenials(setup, (event) => [{ ...event, verdict: 'general-protection' }]),
  },
  "the guest's requests are reported as the owner's": {
    by: /^requests/,
    broken: (setup) =>
      withEvents(setup, (event) => [event.type === 'protected' ? { ...event, by: 'vmm' } : event]),
  },
  "the owner's requests are not reported": {
    by: /^declaration/,
    broken: (setup) =>
      withEvents(setup, (event) => (event.type === 'protected' && event.by === 'vmm' ? [] : [event])),
  },
  'the event of a pin has another answer than the caller': {
    by: /^declaration/,
    broken: (setup) =>
      withEvents(setup, (event) => [
        event.type === 'pinned' ? { ...event, result: { ...event.result, cr4: 0n } } : event,
      ]),
  },
  'memory that comes again has all rights': {
    by: /^large pages: memory that is taken away/,
    broken: (setup) =>
      withMachine(setup, ({ addMemory, protect }) => {
        const seen = new Set<number>();
        return {
          addMemory(region) {
            addMemory(region);
            const end = (region.start + region.frames) as Gfn;
            if (seen.has(region.start))
              protect([{ start: region.start, end, rights: REFERENCE.unrequested }]);
            seen.add(region.start);
          },
        };
      }),
  },
  'a second guest frame has rights of its own over the same bytes': {
    by: /^host frames: .*over memory of the guest/,
    broken: (setup) =>
      withMachine(setup, ({ hostFrames }) => {
        Object.assign(hostFrames, { othersOf: () => [] });
        return {};
      }),
  },
  'memory is forgotten to be protected when it is taken away': {
    by: /^host frames: (memory that|a saved state|memory of)/,
    broken: (setup) =>
      withMachine(setup, ({ hostFrames, removeMemory }) => ({
        removeMemory(start) {
          removeMemory(start);
          hostFrames.replace([]);
        },
      })),
  },
  'a pin binds the first virtual CPU alone': {
    by: /^pins/,
    broken: (setup) =>
      withMachine(setup, ({ pin, vcpus }) => ({
        pin(request) {
          const result = pin(request);
          for (const { controls } of vcpus.slice(1)) controls.cr4Mask = 0n;
          return result;
        },
      })),
  },
  'INIT frees a processor from its pins': {
    by: /^pins: INIT/,
    broken: (setup) =>
      withMachine(setup, ({ lifeCycle, vcpus }) => ({
        lifeCycle(event) {
          lifeCycle(event);
          const vcpu = event.kind === 'init' ? vcpus[event.vcpu] : undefined;
          if (vcpu !== undefined) vcpu.controls.cr4Mask = 0n;
        },
      })),
  },
  'INIT wipes what the processor keeps': {
    by: /^pins: INIT lets a processor load msr/,
    broken: (setup) =>
      withMachine(setup, ({ lifeCycle, vcpus }) => ({
        lifeCycle(event) {
          lifeCycle(event);
          if (event.kind === 'init') vcpus[event.vcpu]?.reset();
        },
      })),
  },
  'a processor that took INIT is bound before it can start': {
    kept: { pins: { ...REFERENCE.pins, semantics: 'exact-value' } },
    by: /^pins: INIT/,
    broken: (setup) =>
      withMachine(setup, ({ lifeCycle, vcpus }) => ({
        lifeCycle(event) {
          if (event.kind === 'init') vcpus[event.vcpu]?.init();
          else lifeCycle(event);
        },
      })),
  },
  'a register write that is emulated passes the pins': {
    by: /^pins: .*emulated/,
    broken: (setup) =>
      withMachine(setup, () => ({
        emulatedMovToCr: (vcpu, register, value) => vcpu.emulateMovToCr(register, value),
      })),
  },
  'pages that were immutable are not when their memory comes again': {
    kept: PER_PAGE,
    by: /^immutability/,
    broken: (setup) => withMachine(setup, (vm) => forgetting(vm, 'removeMemory')),
  },
  'the end of boot is forgotten at INIT': {
    kept: END_OF_BOOT,
    by: /^immutability: neither INIT/,
    broken: (setup) => withMachine(setup, (vm) => forgetting(vm, 'lifeCycle')),
  },
  'the end of boot is forgotten when memory goes': {
    kept: END_OF_BOOT,
    by: /^immutability: neither INIT/,
    broken: (setup) => withMachine(setup, (vm) => forgetting(vm, 'removeMemory')),
  },
  'the end of boot is forgotten when the owner asks': {
    kept: END_OF_BOOT,
    by: /^immutability: the owner/,
    broken: (setup) => withMachine(setup, (vm) => forgetting(vm, 'protect')),
  },
  'a saved state does not tell that boot has ended': {
    kept: END_OF_BOOT,
    by: /^immutability: a state/,
    broken: (setup) =>
      withMachine(setup, ({ save }) => ({
        save() {
          const state = save();
          if (state === undefined) return undefined;
          const { bootEnded: _, ...rest } = state;
          return rest;
        },
      })),
  },
  'a saved state does not tell of immutable pages': {
    kept: PER_PAGE,
    by: /^life-cycle/,
    broken: (setup) =>
      withMachine(setup, ({ save }) => ({
        save() {
          const state = save();
          return state && { ...state, ranges: state.ranges.map(({ immutable: _, ...range }) => range) };
        },
      })),
  },
  'a saved state does not tell of pinned registers': {
    by: /^life-cycle/,
    broken: (setup) =>
      withMachine(setup, ({ save }) => ({
        save() {
          const state = save();
          return state && { ...state, registers: [] };
        },
      })),
  },
  'a saved state does not tell which processors took INIT': {
    kept: { pins: { ...REFERENCE.pins, semantics: 'exact-value' } },
    by: /^life-cycle: a processor that took INIT/,
    broken: (setup) =>
      withMachine(setup, ({ save }) => ({
        save() {
          const state = save();
          return state && { ...state, vcpus: [] };
        },
      })),
  },
  'a damaged state is taken': {
    by: /^life-cycle: a state that is damaged/,
    broken: (setup) => withRestore(setup, () => true),
  },
  'a damaged state ends in an error of the language': {
    by: /^life-cycle: a state that is damaged/,
    broken: (setup) =>
      withRestore(setup, () => {
        throw new TypeError('cannot read properties of null');
      }),
  },
  'a damaged state is refused when it has pinned something': {
    by: /^life-cycle: a state that is damaged/,
    broken: (setup) =>
      withRestore(setup, (vm, error) => {
        vm.pin({ cr0: REFERENCE.pins.cr0, cr4: REFERENCE.pins.cr4, registers: REFERENCE.pins.registers });
        throw error;
      }),
  },
  'a damaged state is refused when rights are gone': {
    by: /^life-cycle: a state that is damaged/,
    broken: (setup) =>
      withRestore(setup, (vm, error) => {
        const state = vm.save();
        if (state !== undefined) vm.restore({ ...state, ranges: [] });
        throw error;
      }),
  },
  'a later pin replaces an earlier one': {
    by: /^pins: a later pin/,
    broken: (setup) =>
      withMachine(setup, ({ pin, vcpus }) => ({
        pin(request) {
          const result = pin(request);
          for (const { controls } of vcpus) {
            if (request.cr0 === undefined) controls.cr0Mask = 0n;
            if (request.cr4 === undefined) controls.cr4Mask = 0n;
          }
          return result;
        },
      })),
  },
  'memory that is taken away is still cached': {
    by: /^virtual CPUs: memory that was taken away/,
    broken: (setup) =>
      withMachine(setup, ({ removeMemory, vcpus }) => ({
        removeMemory(start) {
          const caches = vcpus.map(({ invept }) => invept);
          for (const vcpu of vcpus) Object.assign(vcpu, { invept() {} });
          removeMemory(start);
          for (const [index, vcpu] of vcpus.entries()) Object.assign(vcpu, { invept: caches[index] });
        },
      })),
  },
  'memory over other memory is ignored': {
    by: /^large pages: memory at frames/,
    broken: (setup) =>
      withMachine(setup, ({ addMemory }) => ({
        addMemory(region) {
          try {
            addMemory(region);
          } catch {}
        },
      })),
  },
  'a page is writable once the processor has walked it': {
    by: /^rights: a walk/,
    broken: (setup) =>
      whenDenied(setup, (vm, gpa) => {
        const start = frameOf(gpa);
        vm.protect([{ start, end: (start + 1) as Gfn, rights: REFERENCE.unrequested }]);
      }),
  },
  'what comes before an immutable page is changed': {
    kept: PER_PAGE,
    by: /^requests: an immutable page/,
    broken: (setup) =>
      withMachine(setup, ({ protect }) => ({
        protect(ranges) {
          const result = protect(ranges);
          if (result.refused?.why === 'immutable') protect(ranges.slice(0, result.refused.at));
          return result;
        },
      })),
  },
  'user code may pin a bit': {
    by: /^hostile guests: what user code/,
    broken: (setup) => ({
      ...setup,
      guestCalls(places) {
        const calls = referenceCalls(places);
        return {
          ...calls,
          pin(vcpu, register, bits) {
            vcpu.registers.cpl = 0;
            return calls.pin?.(vcpu, register, bits) === true;
          },
        };
      },
    }),
  },
  'a call that is refused changes rights': {
    by: /^hostile guests/,
    broken: (setup) =>
      withCall(setup, (vm) => {
        vm.protect([
          { start: 0x400 as Gfn, end: 0x401 as Gfn, rights: { ...REFERENCE.unrequested, write: false } },
        ]);
        return false;
      }),
  },
  'a call that is refused pins a bit': {
    by: /^hostile guests/,
    broken: (setup) =>
      withCall(setup, (vm) => {
        vm.pin({ cr0: REFERENCE.pins.cr0 });
        return false;
      }),
  },
  'a call that is refused writes to guest memory': {
    by: /^hostile guests/,
    broken: (setup) =>
      withCall(setup, (vm) => {
        vm.load(0x20_0008 as Gpa, Uint8Array.of(1));
        return false;
      }),
  },
  'a call that makes no sense is taken': {
    by: /^hostile guests/,
    broken: (setup) => withCall(setup, () => true),
  },
  'a call of the guest damages the host': {
    by: /^rights: the guest/,
    broken: (setup) =>
      withEvents(setup, (event) =>
        event.type === 'protected' && event.by === 'guest' ? [event, HARM] : [event],
      ),
  },
};

/** What else happens where a state is not a state. */
function withRestore(
  setup: ReferenceSetup,
  refused: (vm: ReferenceMachine, error: unknown) => boolean,
): ReferenceSetup {
  return withMachine(setup, (vm) => ({
    restore(state) {
      try {
        return vm.restore(state);
      } catch (error) {
        return refused(vm, error);
      }
    },
  }));
}

/** What was promised is forgotten whenever `call` is made. */
function forgetting(
  vm: ReferenceMachine,
  call: 'lifeCycle' | 'removeMemory' | 'protect',
): Partial<ReferenceMachine> {
  const forget = (): void => {
    const { bootEnded: _, ...state } = vm.save() ?? {
      ranges: [],
      otherwise: REFERENCE.unrequested,
      cr0: 0n,
      cr4: 0n,
    };
    vm.restore({ ...state, ranges: state.ranges.map(({ immutable: _immutable, ...range }) => range) });
  };
  switch (call) {
    case 'lifeCycle':
      return {
        lifeCycle(event) {
          vm.lifeCycle(event);
          forget();
        },
      };
    case 'removeMemory':
      return {
        removeMemory(start) {
          vm.removeMemory(start);
          forget();
        },
      };
    case 'protect':
      return {
        protect(ranges) {
          const result = vm.protect(ranges);
          forget();
          return result;
        },
      };
  }
}

/** One more hostile call. */
function withCall(setup: ReferenceSetup, run: (vm: ReferenceMachine) => boolean): ReferenceSetup {
  return {
    ...setup,
    guestCalls(places) {
      const calls = referenceCalls(places);
      return { ...calls, malformed: [{ name: 'nonsense', run: () => run(places.vm) }] };
    },
  };
}

test.each(Object.entries(BROKEN))('the kit finds that %s', (_what, { kept, by, broken }) => {
  const setup = referenceSetup({ ...REFERENCE, ...kept });
  expect(failingCases(setup, by)).toEqual([]);
  expect(failingCases(broken(setup), by)).not.toEqual([]);
});

test('a set-up without the means to try a promise is told what is missing', () => {
  const { hypervisor } = referenceSetup({ ...REFERENCE, ...END_OF_BOOT, policyOwner: 'another-domain' });
  expect(failingCases({ hypervisor }, /^declaration/)).toMatchObject([
    expect.stringContaining('the set-up has no guestCalls.endOfBoot'),
  ]);
  const ownerless = referenceSetup({ ...REFERENCE, policyOwner: 'guest-kernel' });
  expect(failingCases({ hypervisor: ownerless.hypervisor }, /^declaration/)).toMatchObject([
    expect.stringContaining('the set-up has no guestCalls to ask with'),
  ]);
  const decided = referenceSetup({ ...REFERENCE, denialsDecidedBy: 'vmm' });
  expect(failingCases({ hypervisor: decided.hypervisor }, /^declaration/)).toMatchObject([
    expect.stringContaining('the set-up has no deciding'),
  ]);
});

test.each([
  ['execution without reading is declared', { readDenial: false }],
  ['rights that cannot be given', { executeSplit: 'none', unrequested: rightsOf('rwx') }],
  ['code is authenticated', { authenticates: 'code', executeSplit: 'none', unrequested: rightsOf('rw-') }],
  ['no verdict is declared', { verdicts: [] }],
  ['a verdict is declared twice', { verdicts: ['page-fault', 'page-fault', 'general-protection'] }],
  ['a bypass is declared twice', { bypasses: ['dma', 'dma'] }],
  ['a register is declared twice', { pins: { ...REFERENCE.pins, registers: [{ msr: 1 }, { msr: 1 }] } }],
  ['a call takes no ranges', { rangesPerCall: 0 }],
  [
    'the guest is the owner who may undo it',
    { policyOwner: 'guest-kernel', immutability: { kind: 'per-page', undoneBy: 'policy-owner' } },
  ],
] as const)('a declaration contradicts itself: %s', (what, part) => {
  const setup = referenceSetup({ ...REFERENCE, ...part });
  expect(failingCases(setup, /^declaration: the capabilities/)).toMatchObject([
    expect.stringContaining(what),
  ]);
});
