import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { projectFile, runCommand } from '../../testing/run-command.ts';

/** What the example uses of Kubernetes' batch/v1 and core/v1, with the types that the API has: `args: [2]` is refused by a cluster. */
const name = z.string().regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/);
const container = z.strictObject({
  name,
  image: z.string(),
  args: z.array(z.string()),
  env: z.array(
    z.strictObject({
      name: z.string(),
      valueFrom: z.strictObject({ secretKeyRef: z.strictObject({ name, key: z.string() }) }),
    }),
  ),
  ports: z.array(z.strictObject({ name, containerPort: z.int().min(1).max(65_535) })).default([]),
  resources: z
    .strictObject({
      requests: z.record(z.enum(['cpu', 'memory']), z.string().regex(/^\d+(m|[KMG]i)?$/)),
      limits: z.partialRecord(z.enum(['cpu', 'memory']), z.string().regex(/^\d+(m|[KMG]i)?$/)),
    })
    .optional(),
  securityContext: z
    .strictObject({
      allowPrivilegeEscalation: z.boolean(),
      readOnlyRootFilesystem: z.boolean(),
      runAsNonRoot: z.boolean(),
      runAsUser: z.int(),
      capabilities: z.strictObject({ drop: z.array(z.string()) }),
    })
    .optional(),
  volumeMounts: z
    .array(z.strictObject({ name, mountPath: z.string().startsWith('/'), readOnly: z.boolean().optional() }))
    .default([]),
});
const cronJob = z.strictObject({
  apiVersion: z.literal('batch/v1'),
  kind: z.literal('CronJob'),
  metadata: z.strictObject({ name }),
  spec: z.strictObject({
    schedule: z.string().regex(/^(\S+ ){4}\S+$/),
    concurrencyPolicy: z.enum(['Allow', 'Forbid', 'Replace']),
    jobTemplate: z.strictObject({
      spec: z.strictObject({
        parallelism: z.int().optional(),
        template: z.strictObject({
          spec: z.strictObject({
            restartPolicy: z.enum(['OnFailure', 'Never']),
            terminationGracePeriodSeconds: z.int().optional(),
            containers: z.array(container).length(1),
            volumes: z
              .array(
                z.union([
                  z.strictObject({
                    name,
                    persistentVolumeClaim: z.strictObject({ claimName: name, readOnly: z.boolean() }),
                  }),
                  z.strictObject({ name, emptyDir: z.strictObject({}) }),
                ]),
              )
              .default([]),
          }),
        }),
      }),
    }),
  }),
});

test('the example for Kubernetes is of the shape that its API has, and runs commands that there are', async () => {
  const text = readFileSync(projectFile('examples/audit-a-kernel/deploy/fleet/kubernetes.yml'), 'utf8');
  const actions = [];
  for (const document of parseAllDocuments(text)) {
    expect([document.errors, document.warnings]).toEqual([[], []]);
    const pod = cronJob.parse(document.toJS()).spec.jobTemplate.spec.template.spec;
    for (const { args, volumeMounts } of pod.containers) {
      const mounted = volumeMounts.map((mount) => mount.name);
      expect(pod.volumes.map((volume) => volume.name)).toEqual(mounted);
      const [fleet, action = '', ...rest] = args;
      expect(fleet).toBe('fleet');
      const { stdout: help, exitCode } = await runCommand(['fleet', action, '--help']);
      expect(exitCode).toBe(0);
      const options = rest.flatMap((one) => /^--[a-z-]+/.exec(one)?.[0] ?? []);
      expect(options).toContain('--database');
      for (const option of options) expect(help).toContain(`  ${option} `);
      actions.push(action);
    }
  }
  expect(actions).toEqual(['submit', 'work', 'purge']);
});
