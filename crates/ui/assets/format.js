// Numbers as people read them. A no-break space stands before every unit.

const GRPC = [
  "OK",
  "Cancelled",
  "Unknown",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "PermissionDenied",
  "ResourceExhausted",
  "FailedPrecondition",
  "Aborted",
  "OutOfRange",
  "Unimplemented",
  "Internal",
  "Unavailable",
  "DataLoss",
  "Unauthenticated",
];
/// The statuses that are the callee's fault, as the server counts them.
const GRPC_ERRORS = new Set([2, 4, 8, 12, 13, 14, 15]);

export const grpcName = (code) => GRPC[code] ?? `status ${code}`;
export const grpcIsError = (code) => GRPC_ERRORS.has(Number(code));

// Made once: making one costs more than a whole card.
const formats = [0, 1, 2].map(
  (digits) => new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }),
);
const fixed = (value, digits) => formats[digits].format(value);

export function count(value) {
  if (value >= 1e6) return `${fixed(value / 1e6, 1)}M`;
  if (value >= 1e4) return `${fixed(value / 1e3, 1)}k`;
  return fixed(value, 0);
}

export function rate(value) {
  if (!value) return "0";
  if (value < 0.1) return "<0.1";
  if (value < 10) return fixed(value, 1);
  return count(value);
}

export const perSecond = (value) => `${rate(value)}/s`;

export function percent(share) {
  if (!share) return "0 %";
  if (share < 0.001) return "<0.1 %";
  if (share >= 0.9995) return "100 %";
  return `${fixed(share * 100, 1)} %`;
}

const PROTOCOLS = { http: "HTTP", http2: "HTTP/2", grpc: "gRPC", tcp: "TCP" };
export const protocolName = (protocol) => PROTOCOLS[protocol] ?? protocol;

export function ms(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value >= 59_500) return `${fixed(value / 60_000, 1)} min`;
  if (value >= 995) return `${fixed(value / 1000, value < 9_950 ? 2 : 1)} s`;
  if (value >= 10) return `${fixed(value, 0)} ms`;
  return `${fixed(value, 1)} ms`;
}

export function bytes(value) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let power = 0;
  while (value >= 1000 && power < units.length - 1) {
    value /= 1000;
    power += 1;
  }
  return `${fixed(value, power && value < 100 ? 1 : 0)} ${units[power]}`;
}

export function seconds(value) {
  if (value < 60) return `${Math.round(value)} s`;
  const minutes = value / 60;
  return `${Number.isInteger(minutes) ? minutes : fixed(minutes, 1)} min`;
}

/// The next round number above, for the top of an axis.
export function niceTop(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 4, 6, 8, 10].find((candidate) => value <= candidate * power * 1.0001);
  return step * power;
}
