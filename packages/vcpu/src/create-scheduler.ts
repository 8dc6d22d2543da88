import { VcpuError } from './error.ts';
import type { Scheduler, SchedulerOptions } from './scheduler.ts';

/** Creates a scheduler over `options.agents`. */
export function createScheduler(options: SchedulerOptions): Scheduler {
  throw new VcpuError(`${options.agents.length} agents cannot be scheduled yet`);
}
