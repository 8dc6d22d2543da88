// One processor loads a module; between its accesses another one writes into the module's text, when the scheduler lets it.
import { createHyperv } from '@heki/hyperv';
import type { BackendEvent, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import { createKvm } from '@heki/kvm';
import { createLinuxMachine, createSigningAuthority, type HekiDriver, pcMemoryMap } from '@heki/machine';
import { initHekiOnKvm, initHekiOnLvbs } from '@heki/paravirt';
import { virtualAddress } from '@heki/physical-memory';
import { type Agent, createScheduler, type Scheduler } from '@heki/vcpu';

interface Platform {
  readonly hypervisor: Hypervisor<VirtualMachine, BackendEvent>;
  readonly driver: HekiDriver;
}

const image = { name: 'driver', memory: { text: new Uint8Array(4096).fill(0x90) } };
/** In the text of the first module, when the layout is not randomized. */
const target = virtualAddress(0xffffffffc0000100n);

/** An agent that does `turn` whenever it is its turn. */
const agent = (name: string, turn: () => void): Agent => ({
  name,
  steps: (function* () {
    for (;;) {
      turn();
      yield undefined;
    }
  })(),
});

function race(platform: Platform, seed: number, schedule: readonly number[] = []) {
  let scheduler: Scheduler | undefined;
  const machine = createLinuxMachine({
    ...platform,
    memoryMap: pcMemoryMap(64 * 2 ** 20),
    vcpus: 2,
    interleave: () => void scheduler?.step(),
  });
  const { kernel, vcpus } = machine;
  kernel.boot();
  const idle = Array.from({ length: 15 }, (_, index) => agent(`idle ${index}`, () => {}));
  const attacker = agent('attacker', () => void vcpus[1]?.store(target, 1, 0xccn));
  scheduler = createScheduler({ agents: [...idle, attacker], seed, schedule });
  const { kind } = kernel.loadModule(image);
  const turns = scheduler.run(0).schedule;
  scheduler = undefined;
  const byte = kernel.vcpu.load(target, 1);
  const changed = byte.kind === 'done' && byte.value === 0xccn;
  const end = kind === 'error' ? 'refused' : changed ? 'loaded, with his code' : 'loaded as it was';
  return { end, turns };
}

const authority = createSigningAuthority();
authority.sign(image);
const platforms: Record<string, () => Platform> = {
  KVM: () => ({ hypervisor: createKvm(), driver: initHekiOnKvm }),
  'Hyper-V, where a secure kernel compares what was signed': () => ({
    hypervisor: createHyperv({ trusted: authority.signed }),
    driver: initHekiOnLvbs,
  }),
};
for (const [name, platform] of Object.entries(platforms)) {
  const ends = new Map<string, number[]>();
  for (let seed = 0; seed < 12; seed++) {
    const { end } = race(platform(), seed);
    ends.set(end, [...(ends.get(end) ?? []), seed]);
  }
  console.log(name);
  for (const [end, seeds] of ends) console.log(`  the module is ${end}: seeds ${seeds.join(' ')}`);
  const { end, turns } = race(platform(), 10);
  const again = race(platform(), 1, turns);
  console.log(`  seed 10: ${end} after ${turns.length} turns; replayed with another seed: ${again.end}`);
}
