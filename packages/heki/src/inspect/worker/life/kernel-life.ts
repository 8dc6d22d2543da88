import type { Choice } from '@heki/inspector';
import { IMAGE_SYMBOLS, type LinuxKernel } from '@heki/linux';
import type { LinuxMachine } from '@heki/machine';
import { createCodeSigner } from '@heki/machine/code-signer';
import {
  hex,
  PAGE_SIZE,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddressOf,
} from '@heki/physical-memory';
import { type ComposedScenario, runScenario } from '@heki/scenario';
import { loadScenario } from '@heki/scenario/schema';
import { kernelRegions, type Region, regionAt } from '@heki/vmcore';
import { labBackend } from '../../../attack/lab-backend.ts';
import { createBootMachine } from '../../../boot/boot-machine.ts';
import { UsageError } from '../../../failure.ts';
import { parseVirtualAddress } from '../../../hex.ts';
import { HYPERVISOR_NAMES } from '../../../hypervisor-names.ts';
import { isHypervisorName } from '../../../hypervisors.ts';
import { isHexadecimal } from '../../../names/resolve-address.ts';
import { type Life, lifeEvent } from './life.ts';
import { preFaultOf, type WatchedMachine } from './watched-machine.ts';

/** The life of a modelled kernel: its boot, and the steps of a scenario. */
export function kernelLife(machine: Choice, scenario: ComposedScenario): Life {
  const hypervisor = scenario.machine.hypervisor ?? 'kvm';
  return {
    machine,
    hypervisor,
    live(onEvent) {
      let watched: WatchedMachine | undefined;
      const made = createBootMachine(scenario, labBackend(hypervisor), {
        codeSigner: createCodeSigner,
        processorEvents: true,
        onEvent({ from, event }, describe) {
          // What happens while the machine is made is no part of its life. Accesses are left out: there are thousands, and none changes rights.
          if (watched === undefined || (from === 'vcpu' && event.type === 'access')) return;
          onEvent(lifeEvent(from, describe(), from === 'kernel' && event.type === 'boot-step'), watched);
        },
      });
      const whole = watchedKernel(made);
      watched = whole;
      const { boot, bootReason, steps, notTaken } = runScenario(made, scenario, (step) =>
        onEvent({ lane: 'scenario', text: JSON.stringify(step), isStep: true }, whole),
      );
      if (boot !== 'works') return `boot ends: ${bootReason ?? boot}`;
      const last = steps.at(-1);
      const end =
        last === undefined || last.expected ? 'the kernel lives' : `${last.verdict}: ${last.reason}`;
      return `boot is over${steps.length === 0 ? '' : `, ${steps.length} of ${steps.length + notTaken.length} steps were taken`}: ${end}`;
    },
  };
}

/** The name that errors give to the text of a scenario. */
const SCENARIO = 'scenario.json';

/**
 * What the text of a scenario says.
 *
 * @throws {ScenarioError} as `heki boot --scenario` does for such a file; others that it names are not read
 */
export async function scenarioLife(text: string): Promise<Life> {
  const scenario = await loadScenario(SCENARIO, (file) => {
    if (file === SCENARIO) return text;
    throw new UsageError('expected none, for no other files are read here');
  });
  const { hypervisor = 'kvm', kernel } = scenario.machine;
  if (!isHypervisorName(hypervisor)) {
    throw new UsageError(
      `${SCENARIO}: machine.hypervisor ${hypervisor}: expected one of ${HYPERVISOR_NAMES.join(', ')}`,
    );
  }
  if (kernel !== undefined) {
    throw new UsageError(
      `${SCENARIO}: machine.kernel ${kernel}: expected none, for no other files are read here`,
    );
  }
  return kernelLife({ name: 'scenario', title: scenario.title ?? 'a machine of its own' }, scenario);
}

export function watchedKernel(machine: LinuxMachine): WatchedMachine {
  const { virtualMachine, capabilities, memory, memoryMap, heki, hostFrame, vcpus } = machine;
  const { kernel } = machine;
  const { levels, text } = kernel.layout;
  const base = virtualAddressOf(text);
  const regions = regionsOf(kernel, memoryMap);
  const symbols = [...IMAGE_SYMBOLS].reverse();
  return {
    ...{ virtualMachine, capabilities, memory, heki, hostFrame, levels, vcpus },
    preFault: preFaultOf(virtualMachine),
    memoryMap,
    // It reserves none.
    crashKernel: [],
    get bpf() {
      return kernel.bpfPages;
    },
    root: kernel.pageTableRoot,
    get vcpu() {
      return kernel.vcpu;
    },
    regionAt: (frame) => regionAt(regions, frame),
    symbolAt(address) {
      const offset = address - base;
      const { offsets } = kernel.build;
      if (offset < 0n || offset >= offsets._end) return undefined;
      const symbol = symbols.find((name) => offsets[name] <= offset) ?? '_text';
      const within = Number(offset) - offsets[symbol];
      return within === 0 ? symbol : `${symbol}+${hex(within)}`;
    },
    resolve(asked) {
      if (isHexadecimal(asked)) return parseVirtualAddress(asked);
      const [, name, digits = '0'] = /^(\w+)(?:\+(0x[0-9a-f]{1,8}))?$/i.exec(asked) ?? [];
      const symbol = IMAGE_SYMBOLS.find((one) => one === name);
      if (symbol === undefined) {
        throw new UsageError(
          `"${asked}" is not a virtual address, and the modelled kernel has no symbol of that name: expected one of ${IMAGE_SYMBOLS.join(', ')}`,
        );
      }
      return (kernel.address(symbol) + BigInt(digits)) as VirtualAddress;
    },
  };
}

/** The regions of a modelled kernel's half, as those of a dump's are told. */
function regionsOf(
  { layout, build: { offsets } }: LinuxKernel,
  { ramEnd }: LinuxMachine['memoryMap'],
): Region[] {
  const { levels, text, textFrame, directMap, vmalloc, vmemmap } = layout;
  const at = (offset: number) => (text + Math.ceil(offset / PAGE_SIZE)) as VirtualFrame;
  return kernelRegions(
    { levels, directMap: { start: directMap, end: (directMap + ramEnd) as VirtualFrame } },
    {
      image: { start: text, end: at(offsets._end) },
      text: { start: text, end: at(offsets._etext) },
      rodata: { start: at(offsets.__start_rodata), end: at(offsets.__end_rodata) },
      distance: text - textFrame,
      from: 'symbols',
    },
    { vmalloc: virtualAddressOf(vmalloc.start), vmemmap: virtualAddressOf(vmemmap) },
  );
}
