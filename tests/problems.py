"""The catalogue of problems (`fastconv.problem`) that the tests share."""

from __future__ import annotations

from fastconv.problem import Problem

__all__ = ["CATALOGUE", "Problem", "parse"]


def parse(names: str) -> list[Problem]:
    """Read problems' names, which white space separates."""
    return [Problem.parse(name) for name in names.split()]


CATALOGUE = parse("""
    n1ic1oc1_iw1kw1  n1ic1oc1_iw2kw2  n2ic2oc3_iw8kw3  n3ic3oc4_iw9kw3pw1  n1ic7oc8_iw17kw3pw1
    n2ic8oc9_iw16kw5pw2  n1ic13oc14_iw31kw3  n1ic14oc15_iw33kw3pw1  n2ic15oc17_iw15kw3pw1
    n1ic16oc16_iw64kw3pw1  n1ic17oc29_iw29kw2  n1ic32oc16_iw40kw2  n1ic31oc32_iw32kw1  n1ic33oc31_iw65kw3pw1
    n1ic64oc65_iw13kw3pw1  n1ic65oc64_iw7kw4

    n100ic1oc15_iw40kw3sw2  n100ic15oc15_iw19kw3sw2  n100ic15oc15_iw9kw3sw2
    n7ic15oc15_iw9kw3sw2  n5ic3oc17_iw4kw3  n33ic2oc5_iw3kw3

    n1ic1oc1_iw300kw101pw50  n2ic1oc3_iw257kw101sw3pw50  n2g4ic4oc4_iw150kw31pw15  n1ic4oc5_iw200kw15sw2pw7
    n1ic2oc3_iw21kw2sw4  n1ic3oc2_iw20kw1sw3  n2ic3oc4_iw23kw3sw3pw1  n1ic4oc4_iw33kw3pw4dw4
    n1ic2oc2_iw40kw2pl16dw16  n2g2ic4oc6_iw18kw3pl2  n1ic3oc3_iw10kw3pr3  n1ic2oc2_iw5kw3pw7
    n2ic3oc4_iw12kw5pw2_reflect  n2ic3oc4_iw12kw5sw2pw3_replicate  n2ic3oc4_iw12kw5pl4pr1dw2_circular
    n1ic2oc3_iw3kw3pw3_circular  n1ic2oc3_iw1kw3pw4_replicate

    n1ic1oc1_ih1kh1  n1ic1oc1_ih4kh3  n1ic1oc4_ih9kh3ph1  n1ic3oc4_ih8kh3ph1  n2ic2oc7_ih7kh3ph1
    n1ic8oc8_ih9kh3ph1  n1ic9oc13_ih13kh3ph1  n1ic14oc14_ih15kh3ph1  n1ic15oc15_ih14kh3  n2ic16oc17_ih16kh3ph1
    n1ic17oc16_ih17kh3ph1  n1ic29oc31_ih9kh3ph1  n1ic32oc33_ih8kh3ph1  n1ic33oc64_ih7kh3ph1
    n1ic65oc29_ih6kh3ph1  n1ic5oc3_ih5iw33kh3ph1  n1ic3oc5_ih33iw4kh3ph1  n1ic4oc64_ih3iw65kh3ph1
    n1ic1oc2_ih3iw130kh3ph1

    n1ic3oc16_ih24kh7sh2ph3  n2ic3oc9_ih17kh7sh2ph3  n1ic17oc9_ih15kh3sh2ph1  n1ic8oc15_ih13kh3sh3ph1
    n1ic4oc8_ih16kh4sh4  n1ic4oc7_ih14kh2sh3  n2ic5oc6_ih11kh1sh2  n1ic3oc4_ih12iw13kh3kw5sw2ph1pw2
    n1ic3oc4_ih13iw12kh5kw1sh2sw1ph2pw0  n1ic2oc3_ih10kh3sh4ph1

    n2ic300oc17_ih13kh1  n1ic40oc31_iw1030kw1  n1ic16oc17_ih14kh1  n2ic64oc15_ih7kh1  n1ic7oc33_ih5iw9kh1  n1ic1100oc9_ih3kh1  n1ic1024oc8_ih2kh1
    n1ic2oc3_ih1kh1sh2ph1  n1ic2oc3_iw1kw1sw2pw1  n1g9ic9oc9_ih1kh1sh2ph1  n1ic9oc17_ih5kh1ph1  n1ic1oc1_ih2iw1kh1sh2sw1pb1  n2ic3oc5_ih4iw6kh1sh2sw2pb3pr5
    n1ic1oc1_iw2kw1sw3pw1  n2g5ic25oc5_ih1iw2kh1sh4sw3ph0pw1

    n2ic33oc15_ih19iw37kh3ph1  n3ic32oc29_ih4iw5kh3ph1  n1ic40oc3_ih9iw70kh3  n1ic20oc5_ih13iw23kh5ph2
    n2ic9oc6_ih12kh4ph1  n1ic5oc4_ih17iw18kh7ph3  n1ic33oc4_ih8iw40kh3ph1_circular  n1ic34oc5_ih9iw11kh3ph1_replicate
    n2ic17oc9_iw77kw3pw1  n2ic9oc18_iw50kw9pw4  n2ic18oc7_iw41kw4pl3  n1ic19oc3_iw35kw3pw2_reflect
    n2g2ic66oc8_ih11kh3ph1  n2ic16oc5_ih23iw9kh3kw1ph1pw0  n1ic80oc17_ih5iw35kh1kw3ph0pw1

    n1ic32oc40_ih40kh3sh2ph1  n1ic40oc16_ih30kh2  n1ic16oc20_ih30iw37kh4sh2ph1  n1ic3oc8_ih40kh7sh2ph3  n1ic40oc16_ih13kh3sh2ph1
    n1ic20oc6_ih31iw44kh7sh3ph3  n2ic20oc5_ih30kh3sh2ph1_reflect  n1ic9oc8_ih37kh5sh2ph4dh2_circular  n1ic33oc7_iw200kw15sw2pw7
    n2ic72oc264_ih9kh4sh2ph1  n1ic24oc30_iw200kw16sw8pw4
    n2ic40oc20_iw300kw3sw2pw1  n1ic18oc8_ih31kh3kw1sh2sw3ph1pw0  n1ic18oc8_ih31kh1kw3sh2pw1  n1g2ic40oc10_ih19iw23kh4kw5sh2sw3ph1pw2

    n1ic130oc37_ih7kh1  n1ic40oc67_ih7kh3ph1  n2ic100oc24_ih3iw11kh1  n1ic60oc31_iw17kw1  n1ic600oc40_iw33kw1
    n1ic3oc5_ih23kh6sh5ph1  n2ic3oc4_iw90kw40sw20pw3

    n1ic600oc5_ih4kh3ph1  n1ic5oc600_ih4kh3ph1  n4ic128oc16_ih4kh3ph1  n1ic64oc8_ih5kh4  n1ic40oc130_ih6kh3ph1

    n1ic17oc9_ih13iw11kh3ph2dh2  n2ic16oc5_ih9iw14kh3ph3pw2dh3dw2  n1ic33oc7_iw40kw3pw5dw5  n1ic16oc3_ih12kh5ph4dh2_reflect
    n1ic3oc4_ih12kh3ph2dh2  n1ic8oc17_ih15kh3sh2ph3dh3  n1ic2oc3_ih11iw17kh3kw2ph1pw4dw4  n1ic4oc4_ih9kh2dh5

    n2g2ic4oc6_ih8kh3ph1  n1g3ic9oc51_ih7kh3ph1  n1g32ic128oc128_ih6kh3ph1  n1g4ic64oc68_ih5kh3sh2ph1
    n2g17ic17oc17_ih9kh3ph1  n1g8ic8oc8_ih33kh3ph1  n1g32ic32oc32_ih14kh3sh2ph1  n1g8ic8oc24_ih9kh5ph2  n4g2ic20oc68_ih24kh3
    n1g5ic5oc10_ih12kh5sh2ph2  n1g3ic3oc3_ih15kh7ph3  n1g16ic16oc16_ih8kh3ph2dh2
    n3g13ic13oc13_ih5kh3sh2ph1  n5g3ic3oc6_ih4kh3ph1  n2g20ic20oc20_ih9iw7kh3kw5ph1pw2_replicate  n3g19ic19oc19_iw7kw3pw2dw2_circular
    n2g10ic10oc10_ih17kh10sh3ph4  n1g9ic9oc9_ih8kh9ph4  n1g9ic9oc9_ih4iw70kh2kw30ph1  n7g1ic1oc1_iw5kw3pw1  n2g17ic17oc17_ih6iw3kh1kw2sh3sw1  n1g11ic11oc33_ih3iw2kh2ph1
    n3g5ic5oc20_ih2iw14kh2sh4ph2pw1dh1dw2

    n2g3ic3oc3_ih40iw130kh3ph1  n1g2ic2oc4_ih9iw7kh5sh2ph2  n1ic1oc1_ih30iw35kh3sh2ph1  n2g2ic2oc2_ih20kh3ph4dh4
    n1ic1oc1_ih21iw70kh8kw3ph3pw1  n1g2ic2oc6_ih26iw19kh7ph3  n1ic1oc1_ih90iw3kh3ph1  n2g3ic3oc3_ih13iw50kh3sh3ph1
    n1ic1oc1_ih7iw50kh7ph0pw3  n1g2ic2oc2_ih6iw40kh5  n1ic1oc1_ih9iw50kh7ph3  n1g2ic2oc2_ih19iw41kh3sh4sw1ph2pw1dh2dw1  n1ic1oc1_ih11iw37kh2kw4sh3sw2ph0pw1  n3g5ic5oc5_ih7kh7ph3_reflect
    n1g3ic3oc3_ih190iw60kh3ph1_reflect  n1g2ic2oc4_ih321iw41kh4kw3sh3sw2ph1  n1g2ic2oc2_ih290iw40kh2sh5sw3  n2g2ic2oc2_iw20001kw5sw3pw2
    n1g8ic8oc8_ih79kh3sh2ph1  n1g9ic9oc9_ih110iw24kh3kw4sh3sw1ph1pw0  n1g2ic2oc2_ih3iw5003kh3ph1  n1g2ic2oc2_ih230iw45kh5ph6dh3_circular
    n2g3ic3oc3_ih5iw7kh1  n3g2ic2oc6_iw33kw1  n1g2ic2oc2_iw70003kw1  n40g9ic9oc9_ih50iw23kh1  n1ic1oc3_ih300iw301kh1
    n2g3ic3oc3_ih70iw21kh9ph4  n1g2ic2oc2_ih64iw30kh11kw4ph5pw2  n1g2ic2oc4_ih61iw19kh13kw3sh2sw1ph6pw1  n1ic1oc2_ih61iw33kh7ph6dh2

    n3g2ic200oc50_ih3iw2kh3kw2  n5ic30oc9_iw20kw20  n7ic600oc33_ih1kh1  n1ic1oc3_ih25kh25
    n2ic300oc240_ih2kh1  n5ic41oc231_ih4kh3  n1g3ic99oc9_ih2kh3ph1sh2  n3ic33oc264_ih6kh3dh2  n2ic19oc201_iw30kw37sw2pw5_reflect  n2ic31oc150_ih3kh4ph2sh2
    n1ic1oc1_ih20kh15ph7  n1ic2oc3_ih16kh15  n1ic1oc1_ih15kh15  n1ic3oc4_ih6kh6  n1ic17oc5_ih4iw3kh4kw3  n1ic20oc21_ih19kh17ph8  n1ic29oc33_ih15kh9sh2ph4
    n1ic2oc3_ih3kh3ph5  n1ic2oc3_ih8kh3pb1  n1ic3oc4_ih9iw8kh3kw5pt2pl1pr3  n2ic3oc5_ih10kh3sh2pb1
    n1ic3oc4_ih8kh3ph1_reflect  n1ic2oc3_ih7iw9kh5pt4pb1pl2pr3_reflect  n1ic3oc4_ih8kh3sh2ph2_replicate
    n1ic17oc3_ih6kh3ph1_circular  n2g2ic4oc4_ih6kh3pt3pb2pl1pr6dh2_circular
    n1ic2oc3_ih5iw6kh2kw5sh2sw3pt3pb4pl0pr2_reflect  n1ic2oc3_ih3kh3kw1sh2sw3pt0pb2pl2pr2dh1dw2_reflect

    n3ic7oc5_ih7iw8kh3sh4ph10dh10  n1g5ic10oc10_ih5iw19kh16ph67dh9  n2ic3oc4_ih5kh7ph9  n1ic2oc3_iw3kw5pw8dw2
    n1ic3oc2_ih3kh4pt12pb1dh4  n2g2ic2oc4_iw1kw9pw4

    n1ic20oc40_ih11iw90kh10kw4  n2g2ic6oc70_ih21iw37kh5kw4sh3sw2ph3pw5dh2  n1ic40oc33_iw700kw9sw4pw3  n3ic5oc64_ih9iw301kh2kw7
""")
