/** The value that a share of all values does not exceed; NaN of nothing. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

export const round = (value: number, digits = 0): number => Math.round(value * 10 ** digits) / 10 ** digits;

/** Median, 99th percentile and maximum in whole milliseconds, as figures named `name_p50_ms` and so on. */
export function spread(name: string, values: readonly number[]): Record<string, number> {
  return {
    [`${name}_n`]: values.length,
    [`${name}_p50_ms`]: round(quantile(values, 0.5)),
    [`${name}_p95_ms`]: round(quantile(values, 0.95)),
    [`${name}_p99_ms`]: round(quantile(values, 0.99)),
    [`${name}_max_ms`]: round(quantile(values, 1)),
  };
}
