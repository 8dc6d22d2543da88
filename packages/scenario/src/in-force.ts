import type { LinuxMachine } from '@heki/machine';

/** Whether Heki protects the memory of a machine's kernel: its late init got so far. */
export function isInForce({ kernel }: Pick<LinuxMachine, 'kernel'>): boolean {
  const outcome = kernel.hekiInit.late?.outcome;
  return outcome === 'protected' || outcome === 'end-of-boot-refused';
}
