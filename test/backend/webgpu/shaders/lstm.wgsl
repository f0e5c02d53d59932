l0: matmul: product 16×16, 2×1×1 workgroups
l0: add add add add: chain, 1×1×1 workgroups
lstm_l0: initial h + lstm_l0: initial c: 2 together: chain, 2×1×1 workgroups
lstm_l0: 3 steps
  l0: matmul: product 16×16, 2×1×1 workgroups
  l0: o f i g c' tanh h': chain, 1×1×1 workgroups
add: chain, 2×1×1 workgroups
lstm_l0: backward: initial dh + lstm_l0: backward: initial dc: 2 together: chain, 2×1×1 workgroups
lstm_l0: backward: 3 steps in reverse
  mul mul dc mul mul: chain, 1×1×1 workgroups
  dh: product 16×16, 1×1×1 workgroups
dweight_hh: product 16×16, 2×1×1 workgroups
dbias_hh: sum over rows, 1×1×1 workgroups
dweight_ih: product 16×16, 2×1×1 workgroups
result 0: copy: chain, 2×1×1 workgroups
result 1: copy: chain, 2×1×1 workgroups
result 5: copy: chain, 1×1×1 workgroups

// l0: matmul
@group(0) @binding(0) var<storage, read_write> variables: array<f32>;
@group(0) @binding(1) var<storage, read_write> temporaries: array<f32>;
@group(0) @binding(3) var<uniform> p: array<vec4<u32>, 5>;
@group(0) @binding(4) var<uniform> now: vec4<u32>;
const own = 0u;

var<workgroup> tileA: array<vec4<f32>, 128>;
var<workgroup> tileB: array<vec4<f32>, 128>;
fn fetchA(base: u32, side: u32, depth: u32) -> f32 {
  if (side >= p[own + 2u].y || depth >= p[own + 2u].w) { return 0.0; }
  return temporaries[base + side * p[own + 0u].z + depth];
}
fn fetchB(base: u32, side: u32, depth: u32) -> f32 {
  if (side >= p[own + 2u].z || depth >= p[own + 2u].w) { return 0.0; }
  return variables[base + side * p[own + 1u].y + depth];
}
fn put(base: u32, part: u32, row: u32, column: u32, values: vec4<f32>) {
  if (row >= p[own + 2u].y) { return; }
  let first = base + (part * p[own + 2u].y + row) * p[own + 2u].x + column;
  for (var i = 0u; i < min(4u, max(p[own + 2u].z, column) - column); i++) {
    let place = first + i;
    temporaries[place] = values[i];
  }
}
@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) groupId: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = groupId.x + groupId.y * groups.x;
  let t = now.x;
  let at0 = p[own + 0u].x + t * p[own + 0u].y;
  let at1 = p[own + 0u].w + t * p[own + 1u].x;
  let at2 = p[own + 1u].z + t * p[own + 1u].w;
  let n0 = (group % p[own + 3u].x) * 16u;
  let m0 = ((group / p[own + 3u].x) % p[own + 3u].y) * 16u;
  let part = group / (p[own + 3u].x * p[own + 3u].y);
  if (part >= p[own + 3u].z) { return; }
  let x = lane % 4u;
  let y = (lane / 4u) * 1u;
  var c0_0 = vec4<f32>(0.0);
  let last = min((part + 1u) * p[own + 3u].w, p[own + 2u].w);
  for (var k0 = part * p[own + 4u].x; k0 < last; k0 += 32u) {
    for (var l = lane; l < 128u; l += 64u) {
      let j = l;
      let side = m0 + (j / 32u) * 4u;
      let depth = k0 + (j % 32u);
      tileA[(j % 32u) * 4u + (j / 32u)] = vec4<f32>(fetchA(at0, side + 0u, depth), fetchA(at0, side + 1u, depth), fetchA(at0, side + 2u, depth), fetchA(at0, side + 3u, depth));
    }
    for (var l = lane; l < 128u; l += 64u) {
      let j = l;
      let side = n0 + (j / 32u) * 4u;
      let depth = k0 + (j % 32u);
      tileB[(j % 32u) * 4u + (j / 32u)] = vec4<f32>(fetchB(at1, side + 0u, depth), fetchB(at1, side + 1u, depth), fetchB(at1, side + 2u, depth), fetchB(at1, side + 3u, depth));
    }
    workgroupBarrier();
    for (var d = 0u; d < 32u; d++) {
      
      let b0 = tileB[d * 4u + x + 0u];
      c0_0 += tileA[d * 4u + (y + 0u) / 4u][(y + 0u) % 4u] * b0;
    }
    workgroupBarrier();
  }
  put(at2, part, m0 + y + 0u, n0 + (x + 0u) * 4u, c0_0);
}

// l0: o f i g c' tanh h'
@group(0) @binding(1) var<storage, read_write> temporaries: array<f32>;
@group(0) @binding(3) var<uniform> p: array<vec4<u32>, 16>;
@group(0) @binding(4) var<uniform> now: vec4<u32>;
const own = 0u;
fn isNan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }
fn power2(k: i32) -> f32 { return bitcast<f32>(u32(k + 127) << 23u); }
fn remainder(x: f32, n: f32) -> f32 { return (x - n * 0.693359375f) - n * (-0.00021219444170128554f); }
fn expm1Near(r: f32) -> f32 { return r + r * r * (0.4999999701976776f + r * (0.1666654348373413f + r * (0.04166720062494278f + r * (0.008366547524929047f + r * 0.0013882516650483012f)))); }
fn exponential(x: f32) -> f32 {
  let bounded = clamp(x, -104.0, 89.0);
  let n = round(bounded * 1.4426950216293335f);
  let r = remainder(bounded, n);
  let k = i32(n);
  // 2^n in two factors: n runs from -150 to 128.
  let y = ((1f + r * (1f + r * (0.4999999403953552f + r * (0.1666652113199234f + r * (0.04166838899254799f + r * (0.00836874544620514f + r * 0.0013814539415761828f)))))) * power2(k >> 1u)) * power2(k - (k >> 1u));
  return select(y, x, isNan(x));
}
fn hyperbolicTangent(x: f32) -> f32 {
  let a = min(abs(x), 10.0);
  let n = round(a * (-2.885390043258667f));
  let s = power2(i32(n));
  let sp = s * expm1Near(remainder(-2.0 * a, n));
  let y = ((1.0 - s) - sp) / ((1.0 + s) + sp);
  return select(select(y, -y, x < 0.0), x, isNan(x));
}
fn logistic(x: f32) -> f32 {
  let e = exponential(-abs(x));
  return select(1.0, e, x < 0.0) / (1.0 + e);
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) groupId: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = groupId.x + groupId.y * groups.x;
  let t = now.x;
  let at0 = p[own + 0u].y + t * p[own + 0u].z;
  let at1 = p[own + 1u].x + t * p[own + 1u].y;
  let at2 = p[own + 1u].w + t * p[own + 2u].x;
  let at3 = p[own + 2u].z + t * p[own + 2u].w;
  let at4 = p[own + 3u].y + t * p[own + 3u].z;
  let at5 = p[own + 4u].x + t * p[own + 4u].y;
  let at6 = p[own + 4u].w + t * p[own + 5u].x;
  let at7 = p[own + 5u].z + t * p[own + 5u].w;
  let at8 = p[own + 6u].y + t * p[own + 6u].z;
  let at9 = p[own + 7u].x + t * p[own + 7u].y;
  let at10 = p[own + 7u].w + t * p[own + 8u].x;
  let at11 = p[own + 8u].z + t * p[own + 8u].w;
  let at12 = p[own + 9u].y + t * p[own + 9u].z;
  let at13 = p[own + 10u].x + t * p[own + 10u].y;
  let at14 = p[own + 10u].w + t * p[own + 11u].x;
  let at15 = p[own + 11u].z + t * p[own + 11u].w;
  let at16 = p[own + 12u].y + t * p[own + 12u].z;
  let at17 = p[own + 13u].x + t * p[own + 13u].y;
  let at18 = p[own + 13u].w + t * p[own + 14u].x;
  let at19 = p[own + 14u].z + t * p[own + 14u].w;
  let i = group * 64u + lane;
  if (i >= p[own + 0u].x) { return; }
  let r = i / p[own + 15u].y;
  let c = i % p[own + 15u].y;
  let x0 = temporaries[at0 + r * p[own + 0u].w + c];
  let x1 = temporaries[at1 + r * p[own + 1u].z + c];
  let x2 = temporaries[at2 + c];
  let x3 = temporaries[at3 + r * p[own + 3u].x + c];
  let x4 = temporaries[at4 + r * p[own + 3u].w + c];
  let x5 = temporaries[at5 + c];
  let x6 = temporaries[at6 + r * p[own + 5u].y + c];
  let x7 = temporaries[at7 + r * p[own + 6u].x + c];
  let x8 = temporaries[at8 + c];
  let x9 = temporaries[at9 + r * p[own + 7u].z + c];
  let x10 = temporaries[at10 + r * p[own + 8u].y + c];
  let x11 = temporaries[at11 + c];
  let x12 = temporaries[at12 + i];
  let x13 = x0 + x1;
  let x14 = x13 + x2;
  let x15 = logistic(x14);
  let x16 = x3 + x4;
  let x17 = x16 + x5;
  let x18 = logistic(x17);
  let x19 = x6 + x7;
  let x20 = x19 + x8;
  let x21 = logistic(x20);
  let x22 = x9 + x10;
  let x23 = x22 + x11;
  let x24 = hyperbolicTangent(x23);
  let x25 = x18 * x12;
  let x26 = x21 * x24;
  let x27 = x25 + x26;
  let x28 = hyperbolicTangent(x27);
  let x29 = x15 * x28;
  temporaries[at13 + r * p[own + 10u].z + c] = x15;
  temporaries[at14 + r * p[own + 11u].y + c] = x18;
  temporaries[at15 + r * p[own + 12u].x + c] = x21;
  temporaries[at16 + r * p[own + 12u].w + c] = x24;
  temporaries[at17 + i] = x27;
  temporaries[at18 + i] = x28;
  temporaries[at19 + i] = x29;
}

// mul mul dc mul mul
@group(0) @binding(1) var<storage, read_write> temporaries: array<f32>;
@group(0) @binding(3) var<uniform> p: array<vec4<u32>, 11>;
@group(0) @binding(4) var<uniform> now: vec4<u32>;
const own = 0u;


@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) groupId: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = groupId.x + groupId.y * groups.x;
  let t = now.x;
  let at0 = p[own + 0u].y + t * p[own + 0u].z;
  let at1 = p[own + 1u].x + t * p[own + 1u].y;
  let at2 = p[own + 1u].w + t * p[own + 2u].x;
  let at3 = p[own + 2u].z + t * p[own + 2u].w;
  let at4 = p[own + 3u].y + t * p[own + 3u].z;
  let at5 = p[own + 4u].x + t * p[own + 4u].y;
  let at6 = p[own + 4u].w + t * p[own + 5u].x;
  let at7 = p[own + 5u].z + t * p[own + 5u].w;
  let at8 = p[own + 6u].y + t * p[own + 6u].z;
  let at9 = p[own + 7u].x + t * p[own + 7u].y;
  let at10 = p[own + 7u].w + t * p[own + 8u].x;
  let at11 = p[own + 8u].z + t * p[own + 8u].w;
  let at12 = p[own + 9u].y + t * p[own + 9u].z;
  let at13 = p[own + 10u].x + t * p[own + 10u].y;
  let i = group * 64u + lane;
  if (i >= p[own + 0u].x) { return; }
  let r = i / p[own + 10u].w;
  let c = i % p[own + 10u].w;
  let x0 = temporaries[at0 + i];
  let x1 = temporaries[at1 + i];
  let x2 = temporaries[at2 + i];
  let x3 = temporaries[at3 + r * p[own + 3u].x + c];
  let x4 = temporaries[at4 + i];
  let x5 = temporaries[at5 + r * p[own + 4u].z + c];
  let x6 = temporaries[at6 + r * p[own + 5u].y + c];
  let x7 = temporaries[at7 + r * p[own + 6u].x + c];
  let x8 = temporaries[at8 + i];
  let x9 = x1 + x2;
  let x10 = x9 * x3;
  let x11 = 1f;
  let x12 = x4 * x4;
  let x13 = x11 - x12;
  let x14 = x10 * x13;
  let x15 = x0 + x14;
  let x16 = x15 * x5;
  let x17 = x6 * x6;
  let x18 = x11 - x17;
  let x19 = x16 * x18;
  let x20 = x15 * x6;
  let x21 = x11 - x5;
  let x22 = x5 * x21;
  let x23 = x20 * x22;
  let x24 = x15 * x7;
  let x25 = x15 * x8;
  let x26 = x11 - x7;
  let x27 = x7 * x26;
  let x28 = x25 * x27;
  let x29 = x9 * x4;
  let x30 = x11 - x3;
  let x31 = x3 * x30;
  let x32 = x29 * x31;
  temporaries[at9 + r * p[own + 7u].z + c] = x19;
  temporaries[at10 + r * p[own + 8u].y + c] = x23;
  temporaries[at11 + i] = x24;
  temporaries[at12 + r * p[own + 9u].w + c] = x28;
  temporaries[at13 + r * p[own + 10u].z + c] = x32;
}

// dh
@group(0) @binding(0) var<storage, read_write> variables: array<f32>;
@group(0) @binding(1) var<storage, read_write> temporaries: array<f32>;
@group(0) @binding(3) var<uniform> p: array<vec4<u32>, 5>;
@group(0) @binding(4) var<uniform> now: vec4<u32>;
const own = 0u;

var<workgroup> tileA: array<vec4<f32>, 128>;
var<workgroup> tileB: array<vec4<f32>, 128>;
fn fetchA(base: u32, side: u32, depth: u32) -> f32 {
  if (side >= p[own + 2u].y || depth >= p[own + 2u].w) { return 0.0; }
  return temporaries[base + side * p[own + 0u].z + depth];
}
fn fetchB(base: u32, side: u32, depth: u32) -> f32 {
  if (side >= p[own + 2u].z || depth >= p[own + 2u].w) { return 0.0; }
  return variables[base + depth * p[own + 1u].y + side];
}
fn put(base: u32, part: u32, row: u32, column: u32, values: vec4<f32>) {
  if (row >= p[own + 2u].y) { return; }
  let first = base + (part * p[own + 2u].y + row) * p[own + 2u].x + column;
  for (var i = 0u; i < min(4u, max(p[own + 2u].z, column) - column); i++) {
    let place = first + i;
    temporaries[place] = values[i];
  }
}
@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) groupId: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = groupId.x + groupId.y * groups.x;
  let t = now.x;
  let at0 = p[own + 0u].x + t * p[own + 0u].y;
  let at1 = p[own + 0u].w + t * p[own + 1u].x;
  let at2 = p[own + 1u].z + t * p[own + 1u].w;
  let n0 = (group % p[own + 3u].x) * 16u;
  let m0 = ((group / p[own + 3u].x) % p[own + 3u].y) * 16u;
  let part = group / (p[own + 3u].x * p[own + 3u].y);
  if (part >= p[own + 3u].z) { return; }
  let x = lane % 4u;
  let y = (lane / 4u) * 1u;
  var c0_0 = vec4<f32>(0.0);
  let last = min((part + 1u) * p[own + 3u].w, p[own + 2u].w);
  for (var k0 = part * p[own + 4u].x; k0 < last; k0 += 32u) {
    for (var l = lane; l < 128u; l += 64u) {
      let j = l;
      let side = m0 + (j / 32u) * 4u;
      let depth = k0 + (j % 32u);
      tileA[(j % 32u) * 4u + (j / 32u)] = vec4<f32>(fetchA(at0, side + 0u, depth), fetchA(at0, side + 1u, depth), fetchA(at0, side + 2u, depth), fetchA(at0, side + 3u, depth));
    }
    for (var l = lane; l < 128u; l += 64u) {
      let j = l;
      let side = n0 + (j % 4u) * 4u;
      let depth = k0 + (j / 4u);
      tileB[(j / 4u) * 4u + (j % 4u)] = vec4<f32>(fetchB(at1, side + 0u, depth), fetchB(at1, side + 1u, depth), fetchB(at1, side + 2u, depth), fetchB(at1, side + 3u, depth));
    }
    workgroupBarrier();
    for (var d = 0u; d < 32u; d++) {
      
      let b0 = tileB[d * 4u + x + 0u];
      c0_0 += tileA[d * 4u + (y + 0u) / 4u][(y + 0u) % 4u] * b0;
    }
    workgroupBarrier();
  }
  put(at2, part, m0 + y + 0u, n0 + (x + 0u) * 4u, c0_0);
}

