l0: matmul: product 16×16, 2×1×1 workgroups
l0: add add: chain, 1×1×1 workgroups
gru_l0: initial h + gru_l0: backward: initial dh: 2 together: chain, 2×1×1 workgroups
gru_l0: weights: transpose, 2×1×1 workgroups
gru_l0: 3 steps in one dispatch, 1 row a workgroup, 5×1×1 workgroups
add: chain, 2×1×1 workgroups
gru_l0: backward: 3 steps in one dispatch, 1 row a workgroup, 5×1×1 workgroups
dweight_hh: product 16×16, 2×1×1 workgroups
dbias_hh + dbias_ih: 2 together: sum over rows, 2×1×1 workgroups
dweight_ih: product 16×16, 2×1×1 workgroups
result 0: copy: chain, 2×1×1 workgroups
result 1: copy: chain, 2×1×1 workgroups

// gru_l0
@group(0) @binding(0) var<storage, read_write> variables: array<f32>;
@group(0) @binding(1) var<storage, read_write> temporaries: array<f32>;
@group(0) @binding(3) var<uniform> p: array<vec4<u32>, 12>;
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
var<workgroup> tile0: array<f32, 21>;
var<workgroup> tile1: array<f32, 7>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) groupId: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = groupId.x + groupId.y * groups.x;
  
  let firstRow = group * 1u;
  for (var step = 0u; step < p[own + 11u].w; step++) {
    let t = p[own + 11u].y + step * p[own + 11u].z;
  let at0 = p[own + 0u].z + t * p[own + 0u].w;
  let at1 = p[own + 1u].y + t * p[own + 1u].z;
  let at2 = p[own + 2u].y + t * p[own + 2u].z;
  let at3 = p[own + 3u].x + t * p[own + 3u].y;
  let at4 = p[own + 3u].w + t * p[own + 4u].x;
  let at5 = p[own + 4u].z + t * p[own + 4u].w;
  let at6 = p[own + 5u].y + t * p[own + 5u].z;
  let at7 = p[own + 6u].x + t * p[own + 6u].y;
  let at8 = p[own + 6u].w + t * p[own + 7u].x;
  let at9 = p[own + 7u].z + t * p[own + 7u].w;
  let at10 = p[own + 8u].y + t * p[own + 8u].z;
  let at11 = p[own + 9u].x + t * p[own + 9u].y;
  let at12 = p[own + 9u].w + t * p[own + 10u].x;
  let at13 = p[own + 10u].z + t * p[own + 10u].w;
    if (step == 0u) {
    { for (var e = lane; e < 7u; e += 64u) {
      let r = firstRow + e / 7u;
      let c = e % 7u;
      if (r < p[own + 0u].x) {
        let i = r * 7u + c;
        let x0 = temporaries[at0 + i];
  tile1[(0u - firstRow * 7u) + i] = x0;
      }
    } }
    workgroupBarrier();
    }
    // product
    { let x = lane % 16u;
    let part = lane / 16u;
    let n0 = min(x + 0u, 20u); let n1 = min(x + 16u, 20u);
    var s0_0 = 0.0; var s0_1 = 0.0;
    let end = min(part * 7u + 7u, 7u);
    var d = part * 7u;
    
    for (; d < end; d++) { let b0 = temporaries[at1 + d * p[own + 1u].w + n0]; let b1 = temporaries[at1 + d * p[own + 1u].w + n1]; let a0 = tile1[0u + d]; s0_0 += a0 * b0; s0_1 += a0 * b1; }
    if (part == 0u) { if (firstRow + 0u < p[own + 0u].x && x + 0u < 21u) { tile0[0u + (x + 0u)] = s0_0; } if (firstRow + 0u < p[own + 0u].x && x + 16u < 21u) { tile0[0u + (x + 16u)] = s0_1; } } }
    workgroupBarrier();
    // chain
    { for (var e = lane; e < 7u; e += 64u) {
      let r = firstRow + e / 7u;
      let c = e % 7u;
      if (r < p[own + 0u].x) {
        let i = r * 7u + c;
        let x0 = tile0[(14u - firstRow * 21u) + r * 21u + c];
  let x1 = variables[at2 + c];
  let x2 = temporaries[at3 + r * p[own + 3u].z + c];
  let x3 = tile0[(7u - firstRow * 21u) + r * 21u + c];
  let x4 = temporaries[at4 + c];
  let x5 = temporaries[at5 + r * p[own + 5u].x + c];
  let x6 = tile0[(0u - firstRow * 21u) + r * 21u + c];
  let x7 = temporaries[at6 + c];
  let x8 = temporaries[at7 + r * p[own + 6u].z + c];
  let x9 = variables[at8 + c];
  let x10 = tile1[(0u - firstRow * 7u) + i];
  let x11 = x0 + x1;
  let x12 = x2 + x3;
  let x13 = x12 + x4;
  let x14 = logistic(x13);
  let x15 = x5 + x6;
  let x16 = x15 + x7;
  let x17 = logistic(x16);
  let x18 = x8 + x9;
  let x19 = x17 * x11;
  let x20 = x18 + x19;
  let x21 = hyperbolicTangent(x20);
  let x22 = 1f;
  let x23 = x22 - x14;
  let x24 = x23 * x21;
  let x25 = x14 * x10;
  let x26 = x24 + x25;
  temporaries[at9 + r * p[own + 8u].x + c] = x11;
  temporaries[at10 + r * p[own + 8u].w + c] = x14;
  temporaries[at11 + r * p[own + 9u].z + c] = x17;
  temporaries[at12 + r * p[own + 10u].y + c] = x21;
  temporaries[at13 + i] = x26;
  tile1[(0u - firstRow * 7u) + i] = x26;
      }
    } }
    workgroupBarrier();
    
  }
}

// gru_l0: backward
@group(0) @binding(0) var<storage, read_write> variables: array<f32>;
@group(0) @binding(1) var<storage, read_write> temporaries: array<f32>;
@group(0) @binding(3) var<uniform> p: array<vec4<u32>, 13>;
@group(0) @binding(4) var<uniform> now: vec4<u32>;
const own = 0u;

var<workgroup> tile0: array<f32, 7>;
var<workgroup> tile1: array<f32, 21>;
var<workgroup> between: array<f32, 21>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) groupId: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = groupId.x + groupId.y * groups.x;
  
  let firstRow = group * 1u;
  for (var step = 0u; step < p[own + 12u].w; step++) {
    let t = p[own + 12u].y + step * p[own + 12u].z;
  let at0 = p[own + 0u].z + t * p[own + 0u].w;
  let at1 = p[own + 1u].z + t * p[own + 1u].w;
  let at2 = p[own + 2u].y + t * p[own + 2u].z;
  let at3 = p[own + 3u].x + t * p[own + 3u].y;
  let at4 = p[own + 3u].w + t * p[own + 4u].x;
  let at5 = p[own + 4u].z + t * p[own + 4u].w;
  let at6 = p[own + 5u].y + t * p[own + 5u].z;
  let at7 = p[own + 6u].x + t * p[own + 6u].y;
  let at8 = p[own + 6u].w + t * p[own + 7u].x;
  let at9 = p[own + 7u].z + t * p[own + 7u].w;
  let at10 = p[own + 8u].y + t * p[own + 8u].z;
  let at11 = p[own + 9u].x + t * p[own + 9u].y;
  let at12 = p[own + 9u].w + t * p[own + 10u].x;
  let at13 = p[own + 10u].z + t * p[own + 10u].w;
  let at14 = p[own + 11u].z + t * p[own + 11u].w;
    if (step == 0u) {
    { for (var e = lane; e < 7u; e += 64u) {
      let r = firstRow + e / 7u;
      let c = e % 7u;
      if (r < p[own + 0u].x) {
        let i = r * 7u + c;
        let x0 = temporaries[at0 + i];
  tile0[(0u - firstRow * 7u) + i] = x0;
      }
    } }
    workgroupBarrier();
    }
    // chain
    { for (var e = lane; e < 7u; e += 64u) {
      let r = firstRow + e / 7u;
      let c = e % 7u;
      if (r < p[own + 0u].x) {
        let i = r * 7u + c;
        let x0 = tile0[(0u - firstRow * 7u) + i];
  let x1 = temporaries[at1 + r * p[own + 2u].x + c];
  let x2 = temporaries[at2 + r * p[own + 2u].w + c];
  let x3 = temporaries[at3 + r * p[own + 3u].z + c];
  let x4 = temporaries[at4 + r * p[own + 4u].y + c];
  let x5 = temporaries[at5 + r * p[own + 5u].x + c];
  let x6 = temporaries[at6 + i];
  let x7 = x0 + x1;
  let x8 = x7 * x2;
  let x9 = 1f;
  let x10 = x9 - x2;
  let x11 = x7 * x10;
  let x12 = x3 * x3;
  let x13 = x9 - x12;
  let x14 = x11 * x13;
  let x15 = x14 * x4;
  let x16 = x14 * x5;
  let x17 = x9 - x4;
  let x18 = x4 * x17;
  let x19 = x16 * x18;
  let x20 = x7 * x6;
  let x21 = x7 * x3;
  let x22 = -x21;
  let x23 = x20 + x22;
  let x24 = x2 * x10;
  let x25 = x23 * x24;
  tile0[(0u - firstRow * 7u) + i] = x8;
  temporaries[at7 + r * p[own + 6u].z + c] = x14;
  temporaries[at8 + r * p[own + 7u].y + c] = x15;
  tile1[(14u - firstRow * 21u) + r * 21u + c] = x15;
  temporaries[at9 + r * p[own + 8u].x + c] = x19;
  tile1[(0u - firstRow * 21u) + r * 21u + c] = x19;
  temporaries[at10 + r * p[own + 8u].w + c] = x25;
  tile1[(7u - firstRow * 21u) + r * 21u + c] = x25;
  temporaries[at11 + r * p[own + 9u].z + c] = x19;
  temporaries[at12 + r * p[own + 10u].y + c] = x25;
      }
    } }
    workgroupBarrier();
    // product
    { let x = lane % 4u;
    let part = lane / 4u;
    let n0 = min(x + 0u, 6u); let n1 = min(x + 4u, 6u);
    var s0_0 = 0.0; var s0_1 = 0.0;
    let end = min(part * 6u + 6u, 21u);
    var d = part * 6u;
    
    for (; d < end; d++) { let b0 = variables[at13 + d * p[own + 11u].x + n0]; let b1 = variables[at13 + d * p[own + 11u].x + n1]; let a0 = tile1[0u + d]; s0_0 += a0 * b0; s0_1 += a0 * b1; }
    if (part > 0u && part < 4u) { if (x + 0u < 7u) { between[(part - 1u) * 7u + 0u + n0] = s0_0; } if (x + 4u < 7u) { between[(part - 1u) * 7u + 0u + n1] = s0_1; } }
    workgroupBarrier();
    if (part == 0u) {
      for (var other = 0u; other < 3u; other++) { s0_0 += between[other * 7u + 0u + n0]; s0_1 += between[other * 7u + 0u + n1]; }
      if (firstRow + 0u < p[own + 0u].x && x + 0u < 7u) { tile0[0u + (x + 0u)] = tile0[0u + (x + 0u)] + s0_0; } if (firstRow + 0u < p[own + 0u].x && x + 4u < 7u) { tile0[0u + (x + 4u)] = tile0[0u + (x + 4u)] + s0_1; }
    } }
    workgroupBarrier();
    if (step + 1u == p[own + 12u].w) {
    { for (var e = lane; e < 7u; e += 64u) {
      let r = firstRow + e / 7u;
      let c = e % 7u;
      if (r < p[own + 0u].x) {
        let i = r * 7u + c;
        let x0 = tile0[(0u - firstRow * 7u) + i];
  temporaries[at14 + i] = x0;
      }
    } }
    }
  }
}

