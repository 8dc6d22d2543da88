import { packageConfig } from '@heki-internal/vitest';

export default packageConfig(import.meta.url);
